/** What clients list without asking first whether it is there. It is not, so there are none. */
import { type Route, route } from '#http/route.ts';
import { mayRead } from './access.ts';
import { LIST_QUERY } from './resource/list-query.ts';

const LISTS = {
  'rbac-policies': 'rbac_policies',
  'address-scopes': 'address_scopes',
  subnetpools: 'subnetpools',
  'service-providers': 'service_providers',
} as const;

export function emptyLists(): readonly Route[] {
  return Object.entries(LISTS).map(([path, key]) =>
    route({
      method: 'GET',
      path: `/v2.0/${path}`,
      doc: 'There are none.',
      access: mayRead(`get_${key}`),
      query: LIST_QUERY,
      success: 200,
      handle: () => ({ body: { [key]: [] } }),
    }),
  );
}
