/** Networks as the API has them. */
import type { Queries } from '#db/database.ts';
import type { ListedNetwork } from '#db/repo/network/lists/networks.ts';
import { tagsOf } from '#db/repo/network/tags.ts';
import type { Who } from '../access.ts';
import type { View } from '../resource/collection.ts';
import { standardView } from '../resource/standard-view.ts';

/** The one physical network: the machine's way out. */
export const PHYSICAL_NETWORK = 'public';

/** Two queries for all of them. */
export async function networkViews(db: Queries, rows: readonly ListedNetwork[], who: Who): Promise<View[]> {
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const subnets = await db
    .selectFrom('subnets')
    .select(['id', 'network_id'])
    .where('network_id', 'in', ids)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
  const subnetsOf = Map.groupBy(subnets, ({ network_id }) => network_id);
  const tags = await tagsOf(db, ids);
  return rows.map((row) => ({
    ...standardView(row),
    name: row.name,
    status: row.status,
    admin_state_up: row.admin_state_up === 1,
    shared: row.shared === 1,
    'router:external': row.external === 1,
    ...(row.external === 1 && { is_default: row.is_default === 1 }),
    mtu: row.mtu,
    port_security_enabled: row.port_security === 1,
    dns_domain: row.dns_domain,
    subnets: (subnetsOf.get(row.id) ?? []).map(({ id }) => id),
    availability_zone_hints: [],
    availability_zones: ['nova'],
    ipv4_address_scope: null,
    ipv6_address_scope: null,
    tags: tags.get(row.id) ?? [],
    ...(who.isAdmin && providerOf(row)),
  }));
}

function providerOf(row: ListedNetwork): View {
  const isFlat = row.external === 1;
  return {
    'provider:network_type': isFlat ? 'flat' : 'vxlan',
    'provider:physical_network': isFlat ? PHYSICAL_NETWORK : null,
    'provider:segmentation_id': isFlat ? null : row.vni,
  };
}
