/** Ports and their addresses: never one twice, whatever happens at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Database } from '#db/database.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import type { CloudError } from '#domain/errors.ts';
import { insertPort, type NewPort, replaceAddresses, withDetails } from './ports.ts';
import { claimPort, createServerPort, portsOfServers, releasePorts } from './server-ports.ts';
import { newNetwork, newSubnet, PROJECT } from './testing/networks.ts';

const user = (serverId: string) => ({ serverId, projectId: PROJECT, isAdmin: false, dnsName: 'web' });

function newPort(db: Database, networkId: string, wanted: Partial<NewPort> = {}) {
  return db.transaction(async (trx) => {
    const row = await insertPort(trx, { projectId: PROJECT, networkId, portSecurity: false, ...wanted }, 1);
    const [port] = await withDetails(trx, [row]);
    assert.ok(port);
    return port;
  });
}

const hasCode = (code: string) => (error: CloudError) => error.code === code;

test('fifty who ask at once get fifty addresses, and the next gets none', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    await newSubnet(db, network, '10.0.0.0/26', { pools: [{ start: '10.0.0.5', end: '10.0.0.54' }] });
    const ports = await Promise.all(Array.from({ length: 50 }, () => newPort(db, network.id)));
    const addresses = new Set(ports.flatMap((port) => port.fixedIps.map(({ address }) => address)));
    assert.equal(addresses.size, 50);
    assert.equal(new Set(ports.map((port) => port.mac_address)).size, 50);
    await assert.rejects(newPort(db, network.id), hasCode('ipAddressGenerationFailure'));
  } finally {
    await db.close();
  }
});

test('the last address of a large pool is found, wherever it is', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    const subnet = await newSubnet(db, network, '10.1.0.0/21', {
      pools: [
        { start: '10.1.0.1', end: '10.1.2.88' },
        { start: '10.1.3.0', end: '10.1.3.9' },
      ],
    });
    const holder = await newPort(db, network.id, { fixedIps: [] });
    const free = new Set(['10.1.1.44', '10.1.3.9']);
    const hex = (n: number) => (0x0a010000 + n).toString(16).padStart(8, '0');
    const text = (n: number) => `10.1.${n >> 8}.${n & 255}`;
    const all = [...Array.from({ length: 600 }, (_, n) => n + 1), ...Array.from({ length: 10 }, (_, n) => 768 + n)];
    const taken = all.filter((n) => !free.has(text(n)));
    await db.queries
      .insertInto('port_addresses')
      .values(taken.map((n) => ({ port_id: holder.id, subnet_id: subnet.id, address: hex(n) })))
      .execute();
    const found = [await newPort(db, network.id), await newPort(db, network.id)];
    assert.deepEqual(new Set(found.flatMap((port) => port.fixedIps.map(({ address }) => address))), free);
    await assert.rejects(newPort(db, network.id), hasCode('ipAddressGenerationFailure'));
  } finally {
    await db.close();
  }
});

test('a port has one IPv4 address, and in each range of its own making that of its MAC', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    await newSubnet(db, network, '10.0.0.0/24');
    await newSubnet(db, network, '10.0.1.0/24');
    const slaac = { raMode: 'slaac', addressMode: 'slaac' } as const;
    await newSubnet(db, network, '2001:db8:1::/64', slaac);
    await newSubnet(db, network, '2001:db8:2::/64', { addressMode: 'dhcpv6-stateful', raMode: 'dhcpv6-stateful' });
    const port = await newPort(db, network.id, { mac: 'fa:16:3e:12:34:56' });
    const [v4, ...v6] = port.fixedIps.map(({ address }) => address);
    assert.match(v4 ?? '', /^10\.0\.[01]\.\d+$/);
    assert.equal(v6.length, 2);
    assert.ok(v6.includes('2001:db8:1:0:f816:3eff:fe12:3456'));
    assert.ok(v6.some((address) => address.startsWith('2001:db8:2:')));
    await assert.rejects(newPort(db, network.id, { mac: 'fa:16:3e:12:34:56' }), hasCode('macAddressInUse'));
  } finally {
    await db.close();
  }
});

test('an address that was asked for is had once, and only where it belongs', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    const subnet = await newSubnet(db, network, '10.0.0.0/24');
    const wish = (address: string) => newPort(db, network.id, { fixedIps: [{ address }] });
    const results = await Promise.allSettled([wish('10.0.0.9'), wish('10.0.0.9'), wish('10.0.0.9')]);
    assert.equal(results.filter(({ status }) => status === 'fulfilled').length, 1);
    for (const result of results)
      if (result.status === 'rejected') assert.equal(result.reason.code, 'ipAddressAlreadyAllocated');
    await assert.rejects(wish('10.0.1.1'), hasCode('invalidIpForNetwork'));
    await assert.rejects(wish('10.0.0.255'), hasCode('invalidIpForSubnet'));
    await assert.rejects(wish('10.0.0'), hasCode('invalidInput'));
    await assert.rejects(newPort(db, network.id, { fixedIps: [{}] }), hasCode('invalidInput'));
    const two = await newPort(db, network.id, { fixedIps: [{ subnetId: subnet.id }, { subnetId: subnet.id }] });
    assert.equal(new Set(two.fixedIps.map(({ address }) => address)).size, 2);
    const [first] = two.fixedIps;
    await db.transaction((trx) => replaceAddresses(trx, two, [{ address: '10.0.0.77' }, { address: first?.address }]));
    const [after] = await withDetails(db.queries, [two]);
    assert.deepEqual(new Set(after?.fixedIps.map(({ address }) => address)), new Set(['10.0.0.77', first?.address]));
  } finally {
    await db.close();
  }
});

test('what was made for a server goes with it, what was given to it stays', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    await newSubnet(db, network, '10.0.0.0/24');
    const given = await newPort(db, network.id);
    const made = await db.transaction(async (trx) => {
      await claimPort(trx, user('s1'), given.id, 2);
      // At the same moment, and still in this order.
      return [
        await createServerPort(trx, user('s1'), { networkId: network.id }, 2),
        await createServerPort(trx, user('s1'), { networkId: network.id }, 2),
        await createServerPort(trx, user('s1'), { networkId: network.id }, 2),
      ];
    });
    const ports = (await portsOfServers(db.queries, ['s1', 's2'])).get('s1') ?? [];
    assert.deepEqual(
      ports.map(({ id }) => id),
      [given.id, ...made.map(({ id }) => id)],
    );
    assert.ok(ports.every(({ networkName, fixedIps }) => networkName === 'net' && fixedIps.length === 1));
    await assert.rejects(
      db.transaction((trx) => claimPort(trx, user('s2'), given.id, 2)),
      hasCode('portInUse'),
    );
    assert.deepEqual(await db.transaction((trx) => releasePorts(trx, 's1', 4)), [network.id]);
    assert.deepEqual(await db.transaction((trx) => releasePorts(trx, 's1', 4)), []);
    assert.equal((await portsOfServers(db.queries, ['s1'])).size, 0);
    const left = await db.queries.selectFrom('ports').select(['id', 'device_id']).execute();
    assert.deepEqual(
      left.map((port) => [port.id, port.device_id]),
      [[given.id, '']],
    );
  } finally {
    await db.close();
  }
});

test('twenty servers of a new project at once share one default group', async () => {
  const db = await openTestDatabase();
  try {
    const network = await newNetwork(db);
    await newSubnet(db, network, '10.0.0.0/24');
    const each = Array.from({ length: 20 }, (_, index) =>
      db.transaction((trx) => createServerPort(trx, user(`s${index}`), { networkId: network.id }, 1)),
    );
    await Promise.all(each);
    const groups = await db.queries.selectFrom('security_groups').select('name').execute();
    assert.deepEqual(
      groups.map(({ name }) => name),
      ['default'],
    );
    const rules = await db.queries.selectFrom('security_group_rules').select('id').execute();
    assert.equal(rules.length, 4);
  } finally {
    await db.close();
  }
});

test("another project's network and port are not there for a server", async () => {
  const db = await openTestDatabase();
  try {
    const theirs = await newNetwork(db, { projectId: 'other' });
    const out = await newNetwork(db, { projectId: 'other', external: true });
    const port = await newPort(db, theirs.id, { projectId: 'other' });
    const on = (networkId: string) => db.transaction((trx) => createServerPort(trx, user('s'), { networkId }, 1));
    await assert.rejects(on(theirs.id), hasCode('networkNotFound'));
    await assert.rejects(on(out.id), hasCode('externalNetworkForbidden'));
    await assert.rejects(
      db.transaction((trx) => claimPort(trx, user('s'), port.id, 1)),
      hasCode('portNotFound'),
    );
  } finally {
    await db.close();
  }
});
