/** Rules of security groups: they are made and deleted, never changed. */
import { Type } from 'typebox';
import { securityGroupRuleList } from '#db/repo/network/lists/security-groups.ts';
import { checkNetworkQuota } from '#db/repo/network/quotas.ts';
import { deleteRule, insertRule, rulesByGroup } from '#db/repo/network/security-group-rules.ts';
import { findSecurityGroup } from '#db/repo/network/security-groups.ts';
import type { SecurityGroupRuleRow } from '#db/tables/network.ts';
import { CloudError } from '#domain/errors.ts';
import { requireOwner, scopeOf } from '../access.ts';
import type { Kind } from '../resource/collection.ts';
import { type Fields, STANDARD_FIELDS } from '../resource/list-query.ts';
import { AddressText, Nullable, Owner, Text, Uuid, Whole } from '../resource/schemas.ts';
import { networksOfGroup } from './group-networks.ts';
import { ruleValues } from './rule-values.ts';
import { ruleView } from './rule-view.ts';

const CreateBody = Type.Object(
  {
    ...Owner,
    security_group_id: Uuid,
    direction: Type.Enum(['ingress', 'egress']),
    ethertype: Type.Optional(Nullable(Type.String({ pattern: '^[iI][pP][vV][46]$' }))),
    protocol: Type.Optional(Nullable(Type.Union([Type.String({ maxLength: 16 }), Type.Integer()]))),
    port_range_min: Type.Optional(Nullable(Whole(-1, 65_535))),
    port_range_max: Type.Optional(Nullable(Whole(-1, 65_535))),
    remote_ip_prefix: Type.Optional(Nullable(AddressText)),
    remote_group_id: Type.Optional(Nullable(Uuid)),
    remote_address_group_id: Type.Optional(Type.Null()),
    description: Type.Optional(Nullable(Text)),
  },
  { additionalProperties: false },
);

const FIELDS: Fields = {
  ...STANDARD_FIELDS,
  security_group_id: { column: 'group_id', as: 'text' },
  direction: { column: 'direction', as: 'text' },
  ethertype: { column: 'ethertype', as: 'text' },
  protocol: { column: 'protocol', as: 'text', nullable: true },
  port_range_min: { column: 'port_min', as: 'number', nullable: true },
  port_range_max: { column: 'port_max', as: 'number', nullable: true },
  remote_ip_prefix: { column: 'remote_cidr', as: 'text', nullable: true },
  remote_group_id: { column: 'remote_group_id', as: 'text', nullable: true },
};

export const securityGroupRuleKind: Kind<SecurityGroupRuleRow, typeof CreateBody, typeof CreateBody> = {
  one: 'security_group_rule',
  many: 'security_group_rules',
  path: 'security-group-rules',
  fields: FIELDS,
  list: securityGroupRuleList,
  views: async (_db, rows) => rows.map(ruleView),
  missing: (id) => new CloudError('securityGroupRuleNotFound', { id }),
  create: {
    body: CreateBody,
    async run({ trx, who, now }, body) {
      const group = await findSecurityGroup(trx, body.security_group_id, scopeOf(who));
      if (!group) throw new CloudError('securityGroupNotFound', { id: body.security_group_id });
      requireOwner(who, group, 'create_security_group_rule');
      const remote = body.remote_group_id ?? null;
      if (remote !== null && !(await findSecurityGroup(trx, remote, scopeOf(who))))
        throw new CloudError('securityGroupNotFound', { id: remote });
      const values = ruleValues(body);
      const known = (await rulesByGroup(trx, [group.id])).get(group.id) ?? [];
      const same = known.find((rule) => isSame(rule, values));
      if (same) throw new CloudError('securityGroupRuleExists', { id: same.id });
      await checkNetworkQuota(trx, group.project_id, 'security_group_rule', 1);
      const wanted = { ...values, groupId: group.id, projectId: group.project_id, description: body.description ?? '' };
      const { id } = await insertRule(trx, wanted, now);
      return { id, networks: await networksOfGroup(trx, group.id) };
    },
  },
  async remove({ trx }, row) {
    await deleteRule(trx, row.id);
    return networksOfGroup(trx, row.group_id);
  },
};

function isSame(rule: SecurityGroupRuleRow, wanted: ReturnType<typeof ruleValues>): boolean {
  return (
    rule.direction === wanted.direction &&
    rule.ethertype === wanted.ethertype &&
    rule.protocol === wanted.protocol &&
    rule.port_min === wanted.portMin &&
    rule.port_max === wanted.portMax &&
    rule.remote_cidr === wanted.remoteCidr &&
    rule.remote_group_id === wanted.remoteGroupId
  );
}
