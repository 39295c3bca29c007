/** Which networks a new server is joined to: what the request says, checked, and the ports of it made. */
import type { Queries } from '#db/database.ts';
import { networksForServers } from '#db/repo/network/networks.ts';
import { securityGroupsNamed } from '#db/repo/network/security-groups.ts';
import { claimPort, createServerPort, type PortUser } from '#db/repo/network/server-ports.ts';
import { defaultExternal, ensureAutoTopology } from '#db/repo/network/topology.ts';
import { CloudError } from '#domain/errors.ts';
import type { CreateServer } from './schemas.ts';

/** One card of each server. */
export type NetworkWish =
  /** One that is made for the project, where it has none. */
  | { readonly networkId: null; readonly fixedIp?: undefined }
  | { readonly portId: string }
  | { readonly networkId: string; readonly fixedIp?: string | undefined };

/** Nothing said is the project's only network. Throws 400 and 409 for what cannot be. */
export async function networksWanted(
  db: Queries,
  projectId: string,
  { networks }: Pick<CreateServer, 'networks'>,
  servers: number,
): Promise<readonly NetworkWish[]> {
  if (networks === 'none') return [];
  if (networks !== undefined && networks !== 'auto' && networks.length > 0) {
    return networks.map((each) => wishOf(each, servers));
  }
  const [first, second] = await networksForServers(db, projectId);
  if (second) {
    const reason = 'Multiple possible networks found, use a Network ID to be more specific.';
    throw new CloudError('conflict', { reason });
  }
  if (!first && networks === 'auto' && (await defaultExternal(db))) return [{ networkId: null }];
  return first ? [{ networkId: first.id }] : [];
}

function wishOf(
  { uuid, port, fixed_ip: fixedIp }: { uuid?: string; port?: string | null; fixed_ip?: string },
  servers: number,
): NetworkWish {
  const refuse = (reason: string) => new CloudError('badRequest', { reason });
  if (port) {
    if (servers > 1)
      throw refuse(
        'Unable to launch multiple instances with a single configured port ID. Please launch your instance one by one with different ports.',
      );
    if (fixedIp !== undefined)
      throw refuse(
        `Specified Fixed IP '${fixedIp}' cannot be used with port '${port}': the two cannot be specified together.`,
      );
    return { portId: port };
  }
  if (uuid === undefined) throw refuse("Bad network format: missing 'uuid'");
  if (fixedIp !== undefined && servers > 1)
    throw refuse('max_count cannot be greater than 1 if an fixed_ip is specified.');
  return { networkId: uuid, fixedIp };
}

/** Ids of the groups with these names or ids; undefined where none are wanted. Throws 400 for one that is not there, or is two. */
export async function securityGroupsWanted(
  db: Queries,
  projectId: string,
  groups: readonly { readonly name: string }[] | undefined,
): Promise<readonly string[] | undefined> {
  const names = [...new Set((groups ?? []).map(({ name }) => name))];
  // Which the project has, once anybody needs it.
  if (names.every((name) => name === 'default')) return undefined;
  const found = await securityGroupsNamed(db, projectId, names);
  return names.map((wanted) => {
    const byId = found.find(({ id }) => id === wanted);
    const [first, second] = found.filter(({ name }) => name === wanted);
    if (!byId && second) {
      const reason = `Multiple security groups found matching '${wanted}'. Use an ID to be more specific.`;
      throw new CloudError('conflict', { reason });
    }
    const group = byId ?? first;
    if (!group)
      throw new CloudError('badRequest', { reason: `Security group ${wanted} not found for project ${projectId}.` });
    return group.id;
  });
}

/** Makes or claims the ports of a server whose row is there. What the network service refuses is told as Nova tells it. */
export async function makePorts(
  trx: Queries,
  user: PortUser,
  wishes: readonly NetworkWish[],
  securityGroupIds: readonly string[] | undefined,
  now: number,
): Promise<void> {
  try {
    for (const wish of wishes) {
      if ('portId' in wish) await claimPort(trx, user, wish.portId, now);
      else {
        const networkId = wish.networkId ?? (await ensureAutoTopology(trx, user.projectId, now)).networkId;
        await createServerPort(trx, user, { ...wish, networkId, securityGroupIds }, now);
      }
    }
  } catch (error) {
    throw asNova(error);
  }
}

/** A network that is not there is a mistake in the request. */
export function asNova(error: unknown): unknown {
  if (!(error instanceof CloudError)) return error;
  if (error.status === 404) return new CloudError('badRequest', { reason: error.message }, { cause: error });
  return error;
}
