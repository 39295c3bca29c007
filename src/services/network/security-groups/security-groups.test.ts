/** Security groups and rules. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { networkHarness, PROJECTS } from '../network-harness.ts';

test('every project has a default group from its first look, and only an administrator takes it away', async () => {
  await using cloud = await networkHarness();
  const lists = await Promise.all(Array.from({ length: 5 }, () => cloud.call('demo', 'GET', '/security-groups')));
  const ids = new Set(lists.flatMap(({ json }) => json.security_groups.map(({ id }: { id: string }) => id)));
  assert.equal(ids.size, 1);
  const [id] = ids;
  const path = `/security-groups/${id}`;
  assert.equal((await cloud.call('other', 'GET', path)).error, 'SecurityGroupNotFound');
  const rename = await cloud.call('demo', 'PUT', path, { security_group: { name: 'x' } });
  assert.equal(rename.error, 'SecurityGroupCannotUpdateDefault');
  const twice = await cloud.call('demo', 'POST', '/security-groups', { security_group: { name: 'default' } });
  assert.deepEqual([twice.status, twice.error], [409, 'SecurityGroupDefaultAlreadyExists']);
  assert.equal((await cloud.call('demo', 'DELETE', path)).error, 'SecurityGroupCannotRemoveDefault');
  const found = await cloud.call('admin', 'GET', `/security-groups?tenant_id=${PROJECTS.demo}&name=default`);
  assert.deepEqual(
    found.json.security_groups.map((each: { id: string }) => each.id),
    [id],
  );
  assert.equal((await cloud.call('admin', 'DELETE', path)).status, 204);
});

test('a new group lets everything out; a group with ports stays', async () => {
  await using cloud = await networkHarness();
  const group = await cloud.make('demo', 'security_group', { name: 'web', description: 'd' });
  assert.deepEqual(
    group.security_group_rules.map((rule: Record<string, unknown>) => [rule.direction, rule.ethertype, rule.protocol]),
    [
      ['egress', 'IPv4', null],
      ['egress', 'IPv6', null],
    ],
  );
  const { id: network_id } = await cloud.make('demo', 'network');
  const port = await cloud.make('demo', 'port', { network_id, security_groups: [group.id] });
  const kept = await cloud.call('demo', 'DELETE', `/security-groups/${group.id}`);
  assert.deepEqual([kept.status, kept.error], [409, 'SecurityGroupInUse']);
  const rule = await cloud.make('demo', 'security_group_rule', { security_group_id: group.id, direction: 'ingress' });
  assert.ok(cloud.changed.includes(network_id), 'the hosts of its ports hear of the rule');
  cloud.changed.length = 0;
  assert.equal((await cloud.call('demo', 'DELETE', `/security-group-rules/${rule.id}`)).status, 204);
  assert.deepEqual(cloud.changed, [network_id]);
  await cloud.call('demo', 'DELETE', `/ports/${port.id}`);
  assert.equal((await cloud.call('demo', 'DELETE', `/security-groups/${group.id}`)).status, 204);
  const rules = (await cloud.call('demo', 'GET', `/security-group-rules?security_group_id=${group.id}`)).json;
  assert.deepEqual(rules.security_group_rules, []);
});

test('rules are taken in every spelling, once, and only where they make sense', async () => {
  await using cloud = await networkHarness();
  const { id: security_group_id } = await cloud.make('demo', 'security_group', { name: 'web' });
  const theirs = await cloud.make('other', 'security_group', { name: 'theirs' });
  const post = (rule: object) =>
    cloud.call('demo', 'POST', '/security-group-rules', {
      security_group_rule: { security_group_id, direction: 'ingress', ...rule },
    });
  const right: [object, object][] = [
    [
      { protocol: 'TCP', port_range_min: 22, port_range_max: '22', remote_ip_prefix: '10.0.0.7' },
      { protocol: 'tcp', remote_ip_prefix: '10.0.0.7/32', port_range_max: 22 },
    ],
    [{ protocol: 'icmp', port_range_min: 8, port_range_max: 0 }, { port_range_min: 8 }],
    [
      { protocol: 'icmpv6', ethertype: 'ipv6' },
      { protocol: 'ipv6-icmp', ethertype: 'IPv6' },
    ],
    [{ protocol: 112 }, { protocol: '112' }],
    [
      { protocol: 'any', remote_group_id: security_group_id },
      { protocol: null, remote_group_id: security_group_id },
    ],
    [{ ethertype: 'IPv6', remote_ip_prefix: '2001:db8::/32' }, { normalized_cidr: '2001:db8::/32' }],
    [
      { protocol: 'udp', port_range_min: 1, port_range_max: 65535, remote_ip_prefix: '10.1.2.3/8' },
      { normalized_cidr: '10.0.0.0/8' },
    ],
  ];
  for (const [wanted, shown] of right) {
    const reply = await post(wanted);
    assert.equal(reply.status, 201, JSON.stringify(reply.json));
    const rule = reply.json.security_group_rule;
    assert.deepEqual({ ...rule, ...shown }, rule);
    const twice = await post(wanted);
    assert.deepEqual([twice.status, twice.error], [409, 'SecurityGroupRuleExists'], JSON.stringify(wanted));
  }
  const wrong = [
    { direction: 'sideways' },
    { protocol: 'carrier-pigeon' },
    { protocol: 300 },
    { port_range_min: 22, port_range_max: 22 },
    { protocol: 'tcp', port_range_min: 30, port_range_max: 20 },
    { protocol: 'tcp', port_range_min: 30 },
    { protocol: 'tcp', port_range_min: 1, port_range_max: 65536 },
    { protocol: 'tcp', port_range_min: '99999', port_range_max: '999999' },
    { protocol: 'icmp', port_range_max: 3 },
    { protocol: 'icmp', port_range_min: 300 },
    { protocol: 'gre', port_range_min: 1, port_range_max: 2 },
    { protocol: 'icmpv6' },
    { remote_ip_prefix: '2001:db8::/32' },
    { remote_ip_prefix: 'everywhere' },
    { remote_ip_prefix: '10.0.0.0/8', remote_group_id: security_group_id },
  ];
  for (const rule of wrong) assert.equal((await post(rule)).status, 400, JSON.stringify(rule));
  assert.equal((await post({ remote_group_id: theirs.id })).error, 'SecurityGroupNotFound');
  assert.equal((await post({ security_group_id: theirs.id })).error, 'SecurityGroupNotFound');
});
