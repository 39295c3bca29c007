import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { contains, hexOf, linkLocal, maskOf, overlap } from './addresses.ts';
import { ForwardTable } from './forward-table.ts';
import { Identities } from './identities.ts';
import { namesOf, tagOf, tapName } from './names.ts';

const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0003';

test('devices have names that the kernel takes, and nobody else’s are ours', () => {
  const names = namesOf(tagOf('/var/lib/micronova/compute'));
  for (const name of [names.metaBridge, names.meta(ID), names.external(ID), tapName(ID)])
    assert.ok(name.length <= 15, name);
  for (const name of [names.metaBridge, names.meta(ID), names.external(ID)]) assert.ok(names.isOurs(name), name);
  const other = namesOf('zzzzz');
  for (const name of [other.metaBridge, other.external(ID), 'eth0', 'mnt0']) assert.ok(!names.isOurs(name), name);
  assert.equal(names.network(ID), `${names.prefix}n-0d6cbd684d0e`);
  for (const tag of ['', 'toolong', 'a-b', 'A']) assert.throws(() => namesOf(tag), RangeError);
});

test('addresses', () => {
  assert.equal(maskOf(20), '255.255.240.0');
  assert.equal(maskOf(0), '0.0.0.0');
  assert.equal(linkLocal('fa:16:3e:00:00:01'), 'fe80::f816:3eff:fe00:1');
  assert.equal(hexOf('fe80::1'), '0xfe800000000000000000000000000001');
  assert.equal(hexOf('::ffff:10.0.0.1'), '0x00000000000000000000ffff0a000001');
  assert.equal(hexOf('1:2:3:4:5:6:7:8'), '0x00010002000300040005000600070008');
  assert.ok(overlap('100.64.0.0/10', '100.100.16.0/20'));
  assert.ok(!overlap('100.100.0.0/20', '100.100.16.0/20'));
  assert.ok(contains('0.0.0.0/0', '10.0.0.1'));
  assert.ok(contains('2001:db8::/32', '2001:db8:1::/48'));
  assert.ok(!contains('10.0.0.0/16', '10.0.0.0/8'));
  assert.ok(!contains('0.0.0.0/0', 'fd00::1'));
});

test('numbers stay with who has them, across processes, and go to others only when they are taken back', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-identities-'));
  try {
    const file = join(dir, 'identities.json');
    const none = async () => [];
    const first = await Identities.open(file, 'a', none);
    await first.add(['port a', 'port b']);
    const second = await Identities.open(file, 'a', none);
    assert.equal(second.range, first.range);
    assert.equal(second.addressOf('port b'), first.addressOf('port b'));
    assert.equal(second.holderOf(first.addressOf('port a')), 'port a');
    await second.add(['port c']);
    await second.keepOnly(new Set(['port b', 'port c']));
    await second.add(['port d']);
    assert.equal(second.numberOf('port d'), first.numberOf('port a'));
    assert.throws(() => second.numberOf('port a'));
    const taken = await Identities.open(join(dir, 'other.json'), 'a', async () => [first.range]);
    assert.ok(!overlap(taken.range, first.range));
    await assert.rejects(second.add(Array.from({ length: 4094 }, (_, index) => `port ${index}`)), /no number left/);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test('a floating IP keeps its ports of the machine, and who comes too late has none', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-forwards-'));
  try {
    const options = { range: [20_000, 20_002] as const, ports: [22, 80] };
    const table = await ForwardTable.open(dir, options);
    await table.keep(['203.0.113.5', '203.0.113.6']);
    assert.deepEqual(table.forwards, [
      { address: '203.0.113.5', port: 22, hostPort: 20_000 },
      { address: '203.0.113.5', port: 80, hostPort: 20_001 },
      { address: '203.0.113.6', port: 22, hostPort: 20_002 },
    ]);
    const next = await ForwardTable.open(dir, options);
    await next.keep(['203.0.113.6']);
    assert.deepEqual(next.forwards, [
      { address: '203.0.113.6', port: 22, hostPort: 20_002 },
      { address: '203.0.113.6', port: 80, hostPort: 20_000 },
    ]);
  } finally {
    await rm(dir, { recursive: true });
  }
});
