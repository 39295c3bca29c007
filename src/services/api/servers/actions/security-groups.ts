/** Security groups of a server: those of all its ports at once. Older than the network service's own way, and still what clients use. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { setSecurityGroups } from '#db/repo/network/ports.ts';
import { groupsByPort, securityGroupsNamed } from '#db/repo/network/security-groups.ts';
import { portsOfServers, type ServerPort } from '#db/repo/network/server-ports.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { guarded } from '../accept.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const Name = Type.Object({ name: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false });

/** What a change makes of the groups of one port. Null: nothing to do. */
type Change = (groupIds: readonly string[], wanted: string) => readonly string[] | null;

export const securityGroupActions: Readonly<Record<string, Action>> = {
  addSecurityGroup: action({
    doc: 'Adds a security group, by name or id, to all ports of the server that have port security.',
    argument: Name,
    handle: async (deps, request, row, { name }) => {
      await change(deps, request, row, name, (ids, wanted) => (ids.includes(wanted) ? null : [...ids, wanted]));
      return {};
    },
  }),
  removeSecurityGroup: action({
    doc: 'Takes a security group, by name or id, from all ports of the server.',
    argument: Name,
    handle: async (deps, request, row, { name }) => {
      const changed = await change(deps, request, row, name, (ids, wanted) =>
        ids.includes(wanted) ? ids.filter((id) => id !== wanted) : null,
      );
      if (changed > 0) return {};
      throw new CloudError('notThere', {
        reason: `Security group ${name} not associated with the instance ${row.id}`,
      });
    },
  }),
};

/** Answers how many ports have changed. */
async function change(
  { db, networksChanged }: ApiDeps,
  request: ActionRequest,
  row: ServerRow,
  name: string,
  apply: Change,
): Promise<number> {
  checkAllowed('securityGroups', guarded(row), caller(request));
  const networkIds = await db.commit(async (trx) => {
    const wanted = await groupNamed(trx, row.project_id, name);
    const ports = await securedPorts(trx, row.id);
    const groups = await groupsByPort(
      trx,
      ports.map(({ id }) => id),
    );
    const changed: string[] = [];
    for (const { id, networkId } of ports) {
      const after = apply(
        (groups.get(id) ?? []).map((group) => group.id),
        wanted,
      );
      if (after === null) continue;
      await setSecurityGroups(trx, id, after);
      changed.push(networkId);
    }
    return changed;
  });
  if (networkIds.length > 0) networksChanged([...new Set(networkIds)]);
  return networkIds.length;
}

/** Throws 404 for one that is not there, 409 for a name of several. */
async function groupNamed(db: Queries, projectId: string, name: string): Promise<string> {
  const found = await securityGroupsNamed(db, projectId, [name]);
  const byId = found.find(({ id }) => id === name);
  if (!byId && found.length > 1) {
    const reason = `Multiple security groups found matching '${name}'. Use an ID to be more specific.`;
    throw new CloudError('conflict', { reason });
  }
  const group = byId ?? found[0];
  if (!group)
    throw new CloudError('notThere', { reason: `Security group ${name} not found for project ${projectId}.` });
  return group.id;
}

async function securedPorts(db: Queries, serverId: string): Promise<readonly ServerPort[]> {
  const ports = (await portsOfServers(db, [serverId])).get(serverId) ?? [];
  const secured = await db
    .selectFrom('ports')
    .select('id')
    .where('device_id', '=', serverId)
    .where('port_security', '=', 1)
    .execute();
  return ports.filter(({ id }) => secured.some((port) => port.id === id));
}
