/** What a caller may use: the projects and domains to scope to, and the catalogue. Unscoped tokens suffice to look. */

import { listProjectsOf } from '#db/repo/identity/projects.ts';
import { hasRoleSomewhere } from '#db/repo/identity/role-assignments.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import { catalogueView } from '../catalogue.ts';
import type { IdentityDeps } from '../identity-deps.ts';
import { listing } from '../listing.ts';
import { callerOf, requireSelf } from '../policy.ts';
import { domainView } from './domains.ts';
import { projectView } from './projects.ts';

export function ownAccessRoutes(deps: IdentityDeps): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v3/auth/projects',
      doc: 'The enabled projects that the caller can get a token for.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const projects = await listProjectsOf(deps.record.queries, callerOf(request).userId);
        const views = projects.filter((each) => each.enabled).map((each) => projectView(each, request.base));
        return { body: listing('projects', views, `${request.base}/v3/auth/projects`) };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/auth/domains',
      doc: 'The domains that the caller can get a token for: the default one, for admins.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const administers = await hasRoleSomewhere(deps.record.queries, callerOf(request).userId, 'admin');
        const views = administers ? [domainView(request.base)] : [];
        return { body: listing('domains', views, `${request.base}/v3/auth/domains`) };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/auth/catalog',
      doc: "The catalogue that comes with the caller's token.",
      access: 'token',
      success: 200,
      handle: (request) => {
        const auth = callerOf(request);
        if (auth.roles.length === 0) throw new CloudError('policyForbids', { rule: 'identity:get_auth_catalog' });
        const self = `${request.base}/v3/auth/catalog`;
        return { body: { catalog: catalogueView(deps.catalogue, request.base), links: { self } } };
      },
    }),
    route({
      method: 'GET',
      path: '/v3/users/:userId/projects',
      doc: 'The projects on which a user has a role.',
      access: 'token',
      success: 200,
      handle: async (request) => {
        const { userId = '' } = request.params;
        requireSelf(request, userId, 'list_user_projects');
        const projects = await listProjectsOf(deps.record.queries, userId);
        const views = projects.map((each) => projectView(each, request.base));
        return { body: listing('projects', views, `${request.base}/v3/users/${userId}/projects`) };
      },
    }),
  ];
}
