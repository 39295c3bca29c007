/** What an operator of several hosts does with the unchanged `openstack` command: services, hypervisors, aggregates, moves. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type TestCloud, testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

type Line = Readonly<Record<string, unknown>>;

test('the openstack command operates two hosts', { timeout: 300_000 }, async (t) => {
  needClients();
  await using cloud = await testCloud({ driver: 'fake', hosts: 2, config: { host_name: 'rack' } });
  const admin = new Programs(cloud.data, 'micronova-admin');
  await t.test('compute service', () => services(admin));
  await t.test('hypervisor', () => hypervisors(admin));
  await t.test('aggregate', () => aggregates(admin));
  await t.test('server migrate, server resize confirm and revert, server migration list', () => moves(cloud, admin));
});

async function services(admin: Programs): Promise<void> {
  const all: Line[] = await admin.json('compute', 'service', 'list');
  assert.deepEqual(
    all.map((each) => `${each.Binary} ${each.Host} ${each.Zone} ${each.Status} ${each.State}`).toSorted(),
    [
      'nova-compute rack-1 nova enabled up',
      'nova-compute rack-2 nova enabled up',
      'nova-conductor rack internal enabled up',
      'nova-scheduler rack internal enabled up',
    ],
  );
  const set = (...args: string[]) => admin.openstack('compute', 'service', 'set', ...args, 'rack-1', 'nova-compute');
  const shown = async (...args: string[]) => {
    const [line] = await admin.json('compute', 'service', 'list', '--host', 'rack-1', '--long', ...args);
    return line as Line;
  };
  await set('--disable', '--disable-reason', 'new disks');
  const off = await shown();
  assert.deepEqual([off.Status, off['Disabled Reason']], ['disabled', 'new disks']);
  await set('--enable');
  assert.equal((await shown()).Status, 'enabled');
  for (const version of ['2.11', '2.53']) {
    const at = ['--os-compute-api-version', version];
    await set(...at, '--down');
    const down = await shown(...at);
    assert.deepEqual([down.State, down['Forced Down']], ['down', true], version);
    await set(...at, '--up');
    assert.equal((await shown(...at)).State, 'up', version);
  }
}

async function hypervisors(admin: Programs): Promise<void> {
  for (const version of ['2.1', '2.53', '2.88']) {
    const at = ['--os-compute-api-version', version];
    const list: Line[] = await admin.json('hypervisor', 'list', ...at);
    assert.deepEqual(
      list.map((each) => `${each['Hypervisor Hostname']} ${each.State}`).toSorted(),
      ['rack-1 up', 'rack-2 up'],
      version,
    );
    const shown = await admin.json('hypervisor', 'show', 'rack-2', ...at);
    assert.equal(shown.hypervisor_hostname, 'rack-2', version);
    assert.equal(shown.status, 'enabled', version);
  }
  const stats = await admin.json('hypervisor', 'stats', 'show');
  assert.equal(stats.count, 2);
}

async function aggregates(admin: Programs): Promise<void> {
  await admin.json('aggregate', 'create', '--zone', 'west', '--property', 'ssd=true', 'fast');
  await admin.json('aggregate', 'add', 'host', 'fast', 'rack-2');
  const shown = await admin.json('aggregate', 'show', 'fast');
  assert.deepEqual([shown.availability_zone, shown.hosts, shown.properties], ['west', ['rack-2'], { ssd: 'true' }]);
  const zones: Line[] = await admin.json('availability', 'zone', 'list', '--compute');
  assert.deepEqual(
    zones.map((each) => each['Zone Name']),
    ['nova', 'west'],
  );
  await admin.openstack('aggregate', 'set', '--name', 'faster', '--zone', 'east', 'fast');
  await admin.openstack('aggregate', 'unset', '--property', 'ssd', 'faster');
  const [listed] = await admin.json('aggregate', 'list', '--long');
  assert.deepEqual([listed.Name, listed['Availability Zone'], listed.Properties], ['faster', 'east', {}]);
  assert.match(await admin.refused('aggregate', 'delete', 'faster'), /not empty|1 of 1 aggregates failed/);
  await admin.json('aggregate', 'remove', 'host', 'faster', 'rack-2');
  await admin.openstack('aggregate', 'delete', 'faster');
  assert.deepEqual(await admin.json('aggregate', 'list'), []);
}

async function moves(cloud: TestCloud, admin: Programs): Promise<void> {
  const server = await cloud.server({ name: 'web' }).active();
  const host = async () =>
    (await cloud.db.queries.selectFrom('servers').select('host').where('id', '=', server.id).executeTakeFirst())?.host;
  const from = await host();
  await admin.openstack('server', 'migrate', '--wait', server.id);
  await server.is('VERIFY_RESIZE');
  const to = await host();
  assert.notEqual(to, from);
  await admin.openstack('server', 'resize', 'revert', server.id);
  await server.is('ACTIVE');
  assert.equal(await host(), from);
  await admin.openstack('server', 'migrate', '--wait', server.id);
  await server.is('VERIFY_RESIZE');
  await admin.openstack('server', 'resize', 'confirm', server.id);
  await server.is('ACTIVE');
  assert.equal(await host(), to);
  for (const version of ['2.1', '2.23', '2.59', '2.80']) {
    const list: Line[] = await admin.json('server', 'migration', 'list', '--os-compute-api-version', version);
    assert.deepEqual(
      list.map((each) => [each.Status, each['Source Compute'], each['Dest Compute']]),
      [
        ['confirmed', from, to],
        ['reverted', from, to],
      ],
      version,
    );
  }
  await server.delete();
  await server.isGone();
}
