/** `/servers/{id}/os-interface`: the ports of a server, one more and one less. Source: Nova's API reference, "Port interfaces". */
import { Type } from 'typebox';
import type { Nic } from '#contracts/guest.ts';
import type { Queries } from '#db/database.ts';
import { findNetwork, networksForServers } from '#db/repo/network/networks.ts';
import { portsOfServers, type ServerPort } from '#db/repo/network/server-ports.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { accept } from './accept.ts';
import { makePorts, type NetworkWish } from './networks-wanted.ts';
import { onServer, visibleServer } from './visible-server.ts';

const PATH = '/v2.1/servers/:id/os-interface';
const RULE = 'os_compute_api:os-attach-interfaces';
const Uuid = Type.String({ format: 'uuid', maxLength: 36 });
const closed = { additionalProperties: false };

const WISH = {
  net_id: Type.Optional(Uuid),
  port_id: Type.Optional(Uuid),
  fixed_ips: Type.Optional(
    Type.Array(Type.Object({ ip_address: Type.String({ maxLength: 45 }) }, closed), { minItems: 1, maxItems: 1 }),
  ),
};
const body = (wish: object) =>
  Type.Object({ interfaceAttachment: Type.Optional(Type.Object({ ...WISH, ...wish }, closed)) }, closed);
const ATTACH = [
  { from: 1, schema: body({}) },
  { from: 49, schema: body({ tag: Type.Optional(Type.String({ minLength: 1, maxLength: 60, pattern: '^[^,/]*$' })) }) },
];

interface Wish {
  readonly net_id?: string;
  readonly port_id?: string;
  readonly fixed_ips?: readonly { readonly ip_address: string }[];
}

export function interfaceRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the ports of a server.',
      access: { rule: `${RULE}:list`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const { id } = await visibleServer(deps, request);
        const ports = (await portsOfServers(queries, [id])).get(id) ?? [];
        return { body: { interfaceAttachments: ports.map((port) => portView(port, request.version)) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:port`,
      doc: 'Shows a port of a server.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      success: 200,
      handle: async (request) => {
        const { id } = await visibleServer(deps, request);
        return {
          body: { interfaceAttachment: portView(await portOf(queries, id, request.params.port), request.version) },
        };
      },
    }),
    route({
      method: 'POST',
      path: PATH,
      doc: 'Joins a server to a network, or gives it a port; answers when the guest has the card.',
      access: { rule: `${RULE}:create`, role: 'member' },
      body: ATTACH,
      success: 200,
      handle: async (request) => {
        const wish = (request.body as { interfaceAttachment?: Wish }).interfaceAttachment ?? {};
        const { operationId, serverId, portId } = await onServer(deps, request, async (row) => {
          const wanted = await wishOf(queries, caller(request).projectId, wish);
          const user = { ...caller(request), projectId: row.project_id, serverId: row.id, dnsName: row.hostname };
          let nic: Nic | undefined;
          const inputIn = async (trx: Queries) => {
            const had = await portIdsOf(trx, row.id);
            await makePorts(trx, user, [wanted], undefined, deps.now());
            nic = await nicOf(trx, row, (port) => !had.has(port.id));
            return { nic };
          };
          const operationId = await accept(deps, request, row, { kind: 'attachInterface', inputIn });
          return { operationId, serverId: row.id, portId: nic?.portId };
        });
        await deps.conductor.awaitStep({ operationId, step: 'plugNic' });
        return { body: { interfaceAttachment: portView(await portOf(queries, serverId, portId), request.version) } };
      },
    }),
    route({
      method: 'DELETE',
      path: `${PATH}/:port`,
      doc: 'Takes a port from a server.',
      access: { rule: `${RULE}:delete`, role: 'member' },
      success: 202,
      handle: (request) =>
        onServer(deps, request, async (row) => {
          const { id } = await portOf(queries, row.id, request.params.port);
          const nic = await nicOf(queries, row, (port) => port.id === id);
          await accept(deps, request, row, { kind: 'detachInterface', input: { nic } });
          return {};
        }),
    }),
  ];
}

/** Nothing said is the project's only network. */
async function wishOf(db: Queries, projectId: string | null, wish: Wish): Promise<NetworkWish> {
  const { net_id: networkId, port_id: portId, fixed_ips: fixedIps } = wish;
  if (networkId !== undefined && portId !== undefined)
    throw new CloudError('badRequest', { reason: 'Must not input both network_id and port_id' });
  if (fixedIps && networkId === undefined)
    throw new CloudError('badRequest', { reason: 'Must input network_id when request IP address' });
  if (portId !== undefined) return { portId };
  if (networkId !== undefined) return { networkId, fixedIp: fixedIps?.[0]?.ip_address };
  const [first, second] = await networksForServers(db, projectId ?? '');
  if (second) {
    const reason = 'Multiple possible networks found, use a Network ID to be more specific.';
    throw new CloudError('conflict', { reason });
  }
  if (!first) throw new CloudError('badRequest', { reason: 'No network to join: make one, or name one.' });
  return { networkId: first.id };
}

async function portOf(db: Queries, serverId: string, portId: string | undefined): Promise<ServerPort> {
  const port = (await portsOfServers(db, [serverId])).get(serverId)?.find(({ id }) => id === portId);
  if (port) return port;
  throw new CloudError('notThere', { reason: `Port id ${portId} could not be found on instance ${serverId}.` });
}

async function portIdsOf(db: Queries, serverId: string): Promise<ReadonlySet<string>> {
  return new Set((await portsOfServers(db, [serverId])).get(serverId)?.map(({ id }) => id));
}

async function nicOf(db: Queries, { id }: ServerRow, isIt: (port: ServerPort) => boolean): Promise<Nic> {
  const port = (await portsOfServers(db, [id])).get(id)?.find(isIt);
  if (!port) throw new Error(`a port of server ${id} is not there`);
  const network = await findNetwork(db, port.networkId, null);
  return { mac: port.mac, portId: port.id, ...(network && { mtu: network.mtu }) };
}

function portView(port: ServerPort, version: number): Record<string, unknown> {
  return {
    net_id: port.networkId,
    port_id: port.id,
    mac_addr: port.mac,
    port_state: port.adminStateUp ? 'ACTIVE' : 'DOWN',
    fixed_ips: port.fixedIps.map(({ subnetId, address }) => ({ subnet_id: subnetId, ip_address: address })),
    ...(version >= 70 && { tag: null }),
  };
}
