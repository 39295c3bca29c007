/** Security groups: what may be asked of them, and what happens then. */
import { Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { securityGroupList } from '#db/repo/network/lists/security-groups.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { rulesByGroup } from '#db/repo/network/security-group-rules.ts';
import {
  DEFAULT_GROUP,
  deleteSecurityGroup,
  ensureDefaultGroup,
  findDefaultGroup,
  insertSecurityGroup,
  isGroupInUse,
} from '#db/repo/network/security-groups.ts';
import { touch } from '#db/repo/network/standard.ts';
import { tagsOf } from '#db/repo/network/tags.ts';
import type { SecurityGroupRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { ownerOf } from '../access.ts';
import type { NetworkDeps } from '../deps.ts';
import type { Kind, View } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS, valuesOf } from '../resource/list-query.ts';
import { Flag, flag, Owner, Standard } from '../resource/schemas.ts';
import { standardView } from '../resource/standard-view.ts';
import { write } from '../write.ts';
import { networksOfGroup } from './group-networks.ts';
import { ruleView } from './rule-view.ts';

const CreateBody = Type.Object(
  { ...Standard, ...Owner, stateful: Type.Optional(Flag) },
  { additionalProperties: false },
);
const ChangeBody = Type.Object({ ...Standard, stateful: Type.Optional(Flag) }, { additionalProperties: false });

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  name: { column: 'name', as: 'text' },
  stateful: { column: 'stateful', as: 'flag' },
};

export function securityGroupKind(deps: NetworkDeps): Kind<SecurityGroupRow, typeof CreateBody, typeof ChangeBody> {
  return {
    one: 'security_group',
    many: 'security_groups',
    path: 'security-groups',
    fields: FIELDS,
    special: ['shared'],
    list: securityGroupList,
    views: groupViews,
    missing: (id) => new CloudError('securityGroupNotFound', { id }),
    /** Whoever looks for groups finds the default one: his own, or for an administrator that of whom he looks at. */
    async beforeList(who, query) {
      const named = [...valuesOf(query.project_id), ...valuesOf(query.tenant_id)];
      const projects = who.isAdmin && named.length > 0 ? named.slice(0, 1) : [who.projectId];
      for (const projectId of projects) await ensureGroup(deps, projectId);
    },
    create: {
      body: CreateBody,
      async run({ trx, who, now }, body) {
        const projectId = ownerOf(who, body, 'create_security_group');
        if (body.name === DEFAULT_GROUP) throw new CloudError('securityGroupDefaultAlreadyExists', {});
        await ensureDefaultGroup(trx, projectId, now);
        await checkNetworkQuota(trx, projectId, 'security_group', 1);
        const { name, description, stateful } = body;
        const wanted = { projectId, name, description, stateful: flag(stateful) ?? true };
        return { id: (await insertSecurityGroup(trx, wanted, now)).id, networks: [] };
      },
    },
    change: {
      body: ChangeBody,
      async run({ trx, now }, row, body) {
        if (row.is_default === 1 && body.name !== undefined && body.name !== DEFAULT_GROUP)
          throw new CloudError('securityGroupCannotUpdateDefault', {});
        if (row.is_default === 0 && body.name === DEFAULT_GROUP)
          throw new CloudError('securityGroupDefaultAlreadyExists', {});
        const stateful = flag(body.stateful);
        if (stateful !== undefined && Number(stateful) !== row.stateful && (await isGroupInUse(trx, row.id)))
          throw new CloudError('securityGroupInUse', { id: row.id, reason: 'in use' });
        await touch(
          trx,
          'security_groups',
          row.id,
          {
            ...(body.name !== undefined && { name: body.name }),
            ...(body.description !== undefined && { description: body.description }),
            ...(stateful !== undefined && { stateful: Number(stateful) }),
          },
          now,
        );
        return [];
      },
    },
    async remove({ trx, who }, row) {
      if (row.is_default === 1 && !who.isAdmin) throw new CloudError('securityGroupCannotRemoveDefault', {});
      if (await isGroupInUse(trx, row.id)) throw new CloudError('securityGroupInUse', { id: row.id, reason: 'in use' });
      // Rules of other groups that named it go with it.
      const networks = await networksOfGroup(trx, row.id);
      await deleteSecurityGroup(trx, row.id);
      return networks;
    },
  };
}

/** Makes the default group where the project has none. */
async function ensureGroup(deps: NetworkDeps, projectId: string): Promise<void> {
  if (projectId === '' || (await findDefaultGroup(deps.db.queries, projectId))) return;
  await write(deps, async (trx) => {
    await ensureDefaultGroup(trx, projectId, deps.now());
    return { result: null, networks: [] };
  });
}

async function groupViews(db: Queries, rows: readonly SecurityGroupRow[]): Promise<View[]> {
  const ids = rows.map(({ id }) => id);
  const rules = await rulesByGroup(db, ids);
  const tags = await tagsOf(db, ids);
  return rows.map((row) => ({
    ...standardView(row),
    name: row.name,
    stateful: row.stateful === 1,
    shared: false,
    security_group_rules: (rules.get(row.id) ?? []).map(ruleView),
    tags: tags.get(row.id) ?? [],
  }));
}
