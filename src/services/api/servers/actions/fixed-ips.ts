/** One address more of a port that a server has, and one less. Of older clients; newer ones set addresses of the port itself. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import type { FixedIpWish } from '#db/repo/network/fixed-ips.ts';
import { replaceAddresses } from '#db/repo/network/ports.ts';
import { portsOfServers, type ServerPort } from '#db/repo/network/server-ports.ts';
import { touch } from '#db/repo/network/standard.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { PortRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { MAX_FIXED_IPS } from '#domain/network/quota.ts';
import { caller } from '#http/auth.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { guarded } from '../accept.ts';
import { asNova } from '../networks-wanted.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const closed = { additionalProperties: false };
/** Nova dropped both with 2.44. */
const UNTIL = 43;

/** Text; null is one that is free. */
type Wish = string | null;

interface Change {
  readonly port: ServerPort;
  readonly addresses: readonly Wish[];
}

export const fixedIpActions: Readonly<Record<string, Action>> = {
  addFixedIp: action({
    doc: 'Gives the server’s port on a network one address more.',
    until: UNTIL,
    argument: Type.Object({ networkId: Type.String({ minLength: 1, maxLength: 255 }) }, closed),
    handle: async (deps, request, row, { networkId }) => {
      await change(deps, request, row, (ports) => {
        const port = ports.find((each) => each.networkId === networkId);
        if (!port)
          throw new CloudError('notThere', { reason: `Instance ${row.id} has no port on network ${networkId}.` });
        return { port, addresses: [...addressesOf(port), null] };
      });
      return {};
    },
  }),
  removeFixedIp: action({
    doc: 'Takes an address from the server; the port stays.',
    until: UNTIL,
    argument: Type.Object({ address: Type.String({ minLength: 1, maxLength: 45 }) }, closed),
    handle: async (deps, request, row, { address }) => {
      await change(deps, request, row, (ports) => {
        const port = ports.find((each) => addressesOf(each).includes(address));
        if (!port)
          throw new CloudError('notThere', {
            reason: `Fixed IP ${address} not found on instance ${row.id}.`,
          });
        return { port, addresses: addressesOf(port).filter((each) => each !== address) };
      });
      return {};
    },
  }),
};

const addressesOf = ({ fixedIps }: ServerPort) => fixedIps.map((each) => each.address);

async function change(
  { db, networksChanged, now }: ApiDeps,
  request: ActionRequest,
  row: ServerRow,
  wanted: (ports: readonly ServerPort[]) => Change,
): Promise<void> {
  checkAllowed('fixedIps', guarded(row), caller(request));
  const networkId = await db.commit(async (trx) => {
    const { port, addresses } = wanted((await portsOfServers(trx, [row.id])).get(row.id) ?? []);
    if (addresses.length > MAX_FIXED_IPS)
      throw new CloudError('badRequest', { reason: `A port has ${MAX_FIXED_IPS} addresses at most.` });
    await replaceAddresses(trx, await findPort(trx, port.id), await wishesOf(trx, port.networkId, addresses)).catch(
      (error: unknown) => {
        throw asNova(error);
      },
    );
    await touch(trx, 'ports', port.id, {}, now());
    return port.networkId;
  });
  networksChanged([networkId]);
}

/** What is to be chosen is of the network's first range of IPv4. */
async function wishesOf(db: Queries, networkId: string, addresses: readonly Wish[]): Promise<FixedIpWish[]> {
  const subnet = await db
    .selectFrom('subnets')
    .select('id')
    .where('network_id', '=', networkId)
    .where('ip_version', '=', 4)
    .orderBy('created_at')
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return addresses.map((address) => (address === null ? { subnetId: subnet?.id } : { address }));
}

function findPort(db: Queries, id: string): Promise<PortRow> {
  return db.selectFrom('ports').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
}
