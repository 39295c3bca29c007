/** Floating IPs by what they lead to, for those who show servers. */
import type { Queries } from '#db/database.ts';
import { hexToText } from '#domain/network/address.ts';

export interface Translated {
  readonly id: string;
  readonly address: string;
  readonly fixedAddress: string;
}

/** Of each port that any leads to, in one query. */
export async function floatingIpsByPort(db: Queries, portIds: readonly string[]): Promise<Map<string, Translated[]>> {
  if (portIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('floating_ips')
    .select(['id', 'address', 'fixed_port_id', 'fixed_address'])
    .where('fixed_port_id', 'in', [...portIds])
    .orderBy('address')
    .execute();
  const grouped = Map.groupBy(rows, ({ fixed_port_id }) => fixed_port_id ?? '');
  return new Map(
    [...grouped].map(([portId, each]) => [
      portId,
      each.map(({ id, address, fixed_address }) => ({
        id,
        address: hexToText(address),
        fixedAddress: hexToText(fixed_address ?? address),
      })),
    ]),
  );
}
