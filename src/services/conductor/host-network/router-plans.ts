/** Routers as a host has to know them, and on which host each is. */
import type { RouterPlan } from '#contracts/host-network.ts';
import type { Queries } from '#db/database.ts';
import { isUp } from '#db/repo/hosts.ts';
import { type Port, withDetails } from '#db/repo/network/ports.ts';
import { subnetsOf } from '#db/repo/network/subnets.ts';
import type { PortRow, RouterRow, SubnetRow } from '#db/tables/network.ts';
import { hexToText } from '#domain/network/address.ts';
import { cidrFrom } from '#domain/network/cidr.ts';
import { DEVICE_OWNERS } from '#domain/network/device-owners.ts';

export interface HostedRouter {
  readonly plan: RouterPlan;
}

/**
 * Gives a host the routers that lead to the networks of its servers and are nowhere, or on a host that is down. Answers their ids. Of
 * two hosts that ask at once one gets each.
 */
export async function claimRouters(trx: Queries, host: string, now: number): Promise<string[]> {
  const hosts = await trx.selectFrom('hosts').select(['name', 'seen_at', 'forced_down']).execute();
  const up = hosts.filter((each) => each.name === host || isUp(each, now)).map(({ name }) => name);
  const claimed = await trx
    .updateTable('routers')
    .set({ host })
    .where((e) => e.or([e('host', 'is', null), e('host', 'not in', up)]))
    .where('id', 'in', (e) =>
      e
        .selectFrom('ports as interface')
        .innerJoin('ports as guest', 'guest.network_id', 'interface.network_id')
        .innerJoin('allocations', 'allocations.server_id', 'guest.device_id')
        .select('interface.device_id')
        .where('interface.device_owner', '=', DEVICE_OWNERS.routerInterface)
        .where('allocations.host', '=', host),
    )
    .returning('id')
    .execute();
  return claimed.map(({ id }) => id);
}

/** The routers of a host that have anything to do. */
export async function routersOn(db: Queries, host: string): Promise<HostedRouter[]> {
  const rows = await db
    .selectFrom('routers')
    .selectAll()
    .where('host', '=', host)
    .where('admin_state_up', '=', 1)
    .orderBy('id')
    .execute();
  if (rows.length === 0) return [];
  const ids = rows.map(({ id }) => id);
  const ports = await withDetails(db, await portsOf(db, ids));
  const networkIds = [...new Set(ports.map(({ network_id }) => network_id))];
  const subnets = new Map((networkIds.length === 0 ? [] : await subnetsOf(db, networkIds)).map((row) => [row.id, row]));
  const floating = Map.groupBy(await floatingIpsOf(db, ids), ({ router_id }) => router_id ?? '');
  const byRouter = Map.groupBy(ports, ({ device_id }) => device_id);
  return rows.map((row) => ({
    plan: {
      ...routerPlan(row, byRouter.get(row.id) ?? [], subnets),
      floatingIps: (floating.get(row.id) ?? []).map(({ id, address, fixed_address }) => ({
        id,
        address: hexToText(address),
        fixed: hexToText(fixed_address ?? address),
      })),
    },
  }));
}

type RouterPort = PortRow & Pick<Port, 'fixedIps'>;

function routerPlan(
  row: RouterRow,
  ports: readonly RouterPort[],
  subnets: ReadonlyMap<string, SubnetRow>,
): Omit<RouterPlan, 'floatingIps'> {
  const gateway = ports.find(({ device_owner }) => device_owner === DEVICE_OWNERS.routerGateway);
  const inner = ports.filter(({ device_owner }) => device_owner === DEVICE_OWNERS.routerInterface);
  const withPrefix = ({ fixedIps }: RouterPort) =>
    fixedIps.map(({ subnetId, address }) => ({
      address,
      prefix: cidrFrom(subnets.get(subnetId)?.cidr ?? `${address}/${address.includes(':') ? 128 : 32}`).prefix,
    }));
  return {
    id: row.id,
    interfaces: inner.flatMap((port) =>
      withPrefix(port).map((address) => ({
        portId: port.id,
        networkId: port.network_id,
        mac: port.mac_address,
        ...address,
      })),
    ),
    gateway: gateway
      ? {
          portId: gateway.id,
          networkId: gateway.network_id,
          mac: gateway.mac_address,
          addresses: withPrefix(gateway),
          nexthops: gateway.fixedIps.flatMap(({ subnetId }) => subnets.get(subnetId)?.gateway_ip ?? []),
          snat: row.enable_snat === 1,
        }
      : null,
    routes: JSON.parse(row.routes),
  };
}

function portsOf(db: Queries, routerIds: readonly string[]): Promise<PortRow[]> {
  return db
    .selectFrom('ports')
    .selectAll()
    .where('device_id', 'in', [...routerIds])
    .where('device_owner', 'in', [DEVICE_OWNERS.routerInterface, DEVICE_OWNERS.routerGateway])
    .orderBy('id')
    .execute();
}

function floatingIpsOf(db: Queries, routerIds: readonly string[]) {
  return db
    .selectFrom('floating_ips')
    .selectAll()
    .where('router_id', 'in', [...routerIds])
    .where('fixed_port_id', 'is not', null)
    .orderBy('address')
    .execute();
}
