/**
 * `/os-security-groups`: the project's groups, which clients up to 2.35 look up here before they give one to a server. What
 * they are is the network service's to say; they are changed there.
 */
import { Type } from 'typebox';
import { ensureDefaultGroup, findSecurityGroup, listGroupsOf } from '#db/repo/network/security-groups.ts';
import { CloudError } from '#domain/errors.ts';
import { caller } from '#http/auth.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { limitOf, PagingQuery } from '../paging.ts';
import { shownGroups } from './view.ts';

const PATH = '/v2.1/os-security-groups';
const RULE = 'os_compute_api:os-security-groups';
const UNTIL = 35;

export function securityGroupRoutes(deps: ApiDeps): Route[] {
  const { db, now } = deps;
  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the security groups of the project.',
      access: { rule: `${RULE}:get`, role: 'reader' },
      until: UNTIL,
      query: Type.Object({ ...PagingQuery }),
      success: 200,
      handle: async (request) => {
        const { projectId } = caller(request);
        await db.commit((trx) => ensureDefaultGroup(trx, projectId, now()));
        const groups = await listGroupsOf(db.queries, projectId, limitOf(request.query));
        return { body: { security_groups: await shownGroups(db.queries, groups) } };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id`,
      doc: 'Shows a security group.',
      access: { rule: `${RULE}:show`, role: 'reader' },
      until: UNTIL,
      success: 200,
      handle: async (request) => {
        const { projectId } = caller(request);
        const id = request.params.id ?? '';
        const group = await findSecurityGroup(db.queries, id, projectId);
        if (!group) throw new CloudError('notThere', { reason: `Security group ${id} not found.` });
        const [shown] = await shownGroups(db.queries, [group]);
        return { body: { security_group: shown } };
      },
    }),
  ];
}
