/** Domains: `default`, and no other. */
import { Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import { DEFAULT_DOMAIN, isDefaultDomain } from '../domain.ts';
import { booleanFilter, listing } from '../listing.ts';
import { adminMay, callerOf } from '../policy.ts';
import { notFound } from '../unique-names.ts';

const ListQuery = Type.Object({ name: Type.Optional(Type.String()), enabled: Type.Optional(Type.String()) });

export function domainRoutes(): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v3/domains',
      doc: 'List domains, by name.',
      access: adminMay('list_domains'),
      query: ListQuery,
      success: 200,
      handle: ({ query, base }) => {
        const fits =
          (query.name === undefined || isDefaultDomain({ name: query.name })) && booleanFilter(query.enabled) !== false;
        return { body: listing('domains', fits ? [domainView(base)] : [], `${base}/v3/domains`) };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/domains/:domainId',
      doc: 'Show a domain; a scoped token suffices, since everybody is in this one.',
      access: 'token',
      success: 200,
      handle: (request) => {
        const { domainId = '' } = request.params;
        if (callerOf(request).roles.length === 0)
          throw new CloudError('policyForbids', { rule: 'identity:get_domain' });
        if (domainId !== DEFAULT_DOMAIN.id) throw notFound('domain', domainId);
        return { body: { domain: domainView(request.base) } };
      },
    }),
  ];
}

/** The domain as Identity v3 shows it. */
export function domainView(base: string): object {
  return {
    id: DEFAULT_DOMAIN.id,
    name: DEFAULT_DOMAIN.name,
    description: 'The default domain',
    enabled: true,
    tags: [],
    options: {},
    links: { self: `${base}/v3/domains/${DEFAULT_DOMAIN.id}` },
  };
}
