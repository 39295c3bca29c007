/**
 * Networks across hosts: three hosts, each a network namespace of this machine with an agent and a plane of its own, VXLANs between
 * them, and real guests that move while they speak to each other.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { hostTag, namesOf, tapName } from '#services/compute/network/names.ts';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { type NamespaceOfHost, Namespaces } from '../../src/cli/demo/namespaces.ts';
import type { Client } from '../client.ts';
import { dnsmasqs } from '../dnsmasqs.ts';
import { PASSWORD } from '../e2e/real-server.ts';
import { eventually } from '../eventually.ts';
import { CloudOfProcesses } from './cloud-of-processes.ts';
import { Guest } from './guest.ts';

const HOSTS = ['host-a', 'host-b', 'host-c'];
/** Guests boot under emulation, beside others. */
const BOOTED = { withinMs: 90_000 };
const LIVE = { host: null, block_migration: 'auto' };

describe('networks across hosts', { timeout: 300_000 }, () => {
  const parts = new AsyncDisposableStack();
  const spaces = new Map<string, NamespaceOfHost>();
  let network: Namespaces;
  let cloud: CloudOfProcesses;
  let demo: Client;
  let image: string;
  let first: Guest;
  let second: Guest;

  before(async () => {
    network = new Namespaces();
    parts.defer(() => network.remove());
    cloud = parts.use(await CloudOfProcesses.create({ address: network.address }));
    await cloud.add('api', 'api,conductor,scheduler', { listen: `${network.address}:0` });
    await cloud.open();
    await Promise.all(HOSTS.map(addHost));
    demo = await cloud.as('demo');
    const wanted = { name: 'guest', disk_format: 'qcow2', container_format: 'bare' };
    image = (await demo.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted })).id;
    await demo.ok('PUT', `/image/v2/images/${image}/file`, { bytes: readFileSync(guestImagePath()) });
    first = await Guest.launch(cloud, { name: 'first', imageRef: image });
    second = await Guest.launch(cloud, { name: 'second', imageRef: image, apartFrom: [first] });
  });
  after(() => parts.disposeAsync());

  async function addHost(name: string): Promise<void> {
    const space = network.add({ guests: namesOf(hostTag(cloud.homeOf(name), name)).prefix });
    spaces.set(name, space);
    const settings = { agent_listen: `${space.address}:0`, network: 'rooted' };
    await cloud.add(name, 'compute', settings, { enter: space.enter });
  }

  const spaceOf = (host: string) => spaces.get(host)?.name ?? '';
  /** Makes something of the network service; answers its id. */
  const make = async (kind: string, json: object): Promise<string> => {
    const path = `/network/v2.0/${kind.replaceAll('_', '-')}s`;
    const body = await demo.ok<Record<string, { id: string }>>('POST', path, { json: { [kind]: json } });
    return body[kind]?.id ?? '';
  };
  const idsOf = async (path: string) => {
    const body = await demo.ok<Record<string, { id: string }[]>>('GET', `/network/v2.0/${path}`);
    return (Object.values(body)[0] ?? []).map(({ id }) => id);
  };
  /** Both have the addresses that they always had, and reach each other by name. */
  const meet = async (addresses: readonly [string, string]) => {
    for (const [index, guest] of [first, second].entries()) {
      const address = addresses[index] ?? '';
      await eventually(
        `${guest.name} has ${address}`,
        async () => (await guest.run('ip -4 addr')).includes(`${address}/`),
        BOOTED,
      );
    }
    await eventually('the second reaches the first', () => second.reaches('first'));
    await eventually('the first reaches the second', () => first.reaches('second'));
  };
  const addresses = async () => [(await first.port()).address, (await second.port()).address] as const;

  test('two servers of one network on two hosts reach each other', async () => {
    assert.notEqual(await first.host(), await second.host());
    await meet(await addresses());
  });

  test('DHCP, names and metadata are answered here, and the router is there', async () => {
    const rows = await cloud.db.queries.selectFrom('routers').select('host').where('host', 'is not', null).execute();
    assert.deepEqual(
      rows.map(({ host }) => host),
      [await first.host()],
      'it came with the first',
    );
    const metadata = 'wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json';
    assert.equal(JSON.parse(await second.run(metadata)).uuid, second.id);
    await eventually('the router', () => second.reaches('10.0.0.1'));
    await eventually('what is behind it', () => second.reaches('172.24.4.1'));
  });

  test('an open connection goes on while either end of it moves to another host, and back', async (t) => {
    const before = await addresses();
    // The one asks, and lets nobody in; so on a host that has not seen it ask, what comes to it is an answer by its looks alone.
    const [app, closed] = [
      await make('security_group', { name: 'app' }),
      await make('security_group', { name: 'closed' }),
    ];
    await make('security_group_rule', { security_group_id: app, direction: 'ingress', protocol: 'tcp' });
    for (const [guest, group] of [
      [first, app],
      [second, closed],
    ] as const)
      await demo.ok('PUT', `/network/v2.0/ports/${(await guest.port()).id}`, {
        json: { port: { security_groups: [group] } },
      });
    // Both ends stay open until they are ended. On the slow one nothing is under way when the second moves: the first speaks first.
    const talk = (port: number, pause: number) =>
      `(n=0; while n=$((n+1)); do echo $n; usleep ${pause}; done | nc -l -p ${port}) > /dev/null 2>&1 &`;
    const hear = (port: number, file: string) =>
      `(until nc ${before[0]} ${port}; do usleep 100000; done < /run/quiet | while read -r n; do read -r up idle < /proc/uptime; echo $n $up; done > ${file}) 2> /dev/null &`;
    await first.run(`${talk(5000, 20_000)} ${talk(5001, 2_000_000)} :`);
    const quiet = 'mkfifo /run/quiet; sleep 100000 > /run/quiet &';
    await second.run(`${quiet} ${hear(5000, '/run/got')} ${hear(5001, '/run/slow')} :`);
    const reached = async (file: string) => Number((await second.run(`tail -n 1 ${file}`)).split(' ')[0]);
    const goesOn = async () => {
      for (const [file, more] of [
        ['/run/got', 20],
        ['/run/slow', 0],
      ] as const) {
        const from = await reached(file);
        await eventually(`more comes to ${file}`, async () => (await reached(file)) > from + more, {
          withinMs: 30_000,
        });
      }
    };
    await goesOn();
    // The second goes to where neither has ever been.
    const hosts = [await first.host(), await second.host()];
    const fresh = HOSTS.find((name) => !hosts.includes(name)) ?? '';
    for (const [guest, host] of [
      [second, fresh],
      [first, null],
      [second, null],
    ] as const) {
      const from = await guest.host();
      await guest.act('os-migrateLive', { ...LIVE, host }, 'ACTIVE', 'admin');
      assert.notEqual(await guest.host(), from);
      await goesOn();
    }
    assert.equal(await second.run(`awk '$1 != NR { exit 1 }' /run/got; echo $?`), '0', 'in order, none lost');
    const silence = await second.run(
      `awk 'NR > 1 && $2 - last > most { most = $2 - last } { last = $2 } END { print most }' /run/got`,
    );
    t.diagnostic(`longest silence: ${silence} s`);
    assert.ok(Number(silence) < 10, `${silence} s of silence`);
    assert.deepEqual(await addresses(), before);
    await second.run('killall nc sleep');
    const [group] = await idsOf('security-groups?name=default');
    for (const guest of [first, second])
      await demo.ok('PUT', `/network/v2.0/ports/${(await guest.port()).id}`, {
        json: { port: { security_groups: [group] } },
      });
    await meet(before);
  });

  test('addresses stay after a cold migration, and after an unshelving on another host', async () => {
    const before = await addresses();
    const from = [await first.host(), await second.host()];
    await first.act('migrate', null, 'VERIFY_RESIZE', 'admin');
    await first.act('confirmResize', null, 'ACTIVE');
    await second.act('shelve', null, 'SHELVED_OFFLOADED');
    const admin = await cloud.as('admin');
    const { services } = await admin.ok<{ services: { id: string; host: string; binary: string }[] }>(
      'GET',
      '/compute/v2.1/os-services?binary=nova-compute',
    );
    const path = `/compute/v2.1/os-services/${services.find(({ host }) => host === from[1])?.id}`;
    await admin.ok('PUT', path, { json: { status: 'disabled' } });
    await second.act('unshelve', null, 'ACTIVE');
    await admin.ok('PUT', path, { json: { status: 'enabled' } });
    assert.notEqual(await first.host(), from[0]);
    assert.notEqual(await second.host(), from[1]);
    await meet(before);
  });

  test('an agent that comes back joins the guests that run', async () => {
    const host = await second.host();
    const names = namesOf(hostTag(cloud.homeOf(host), host));
    const { id } = await second.port();
    const [space] = network.guestsSpaces(spaceOf(host)).filter((name) => linksOf(name).includes(tapName(id)));
    assert.ok(space);
    await cloud.member(host).kill();
    // As if it had ended before it could join the tap.
    execFileSync('ip', ['-n', space, 'link', 'set', tapName(id), 'netns', names.guests]);
    // By its address: who has no network waits long for a name.
    const { address } = await first.port();
    assert.ok(!(await second.reaches(address)));
    await cloud.member(host).start();
    await eventually('the second reaches the first', () => second.reaches(address));
  });

  test('addresses stay when a host dies: of the server that is evacuated, and of the one that starts there again', async () => {
    const before = await addresses();
    const [host, other] = [await first.host(), await second.host()];
    if (host === other) await second.act('os-migrateLive', LIVE, 'ACTIVE', 'admin');
    const setDown = (down: number) =>
      cloud.db.queries.updateTable('hosts').set({ forced_down: down }).where('name', '=', host).execute();
    network.cutPower(spaceOf(host));
    await setDown(1);
    await first.act('evacuate', { adminPass: PASSWORD }, 'ACTIVE', 'admin');
    assert.notEqual(await first.host(), host);
    await meet(before);
    await setDown(0);
    await cloud.member(host).start();
    const last = await second.host();
    network.cutPower(spaceOf(last));
    await cloud.member(last).start();
    await eventually(
      'it is known that the second runs no more',
      async () => (await second.server.show())?.status === 'SHUTOFF',
    );
    await second.act('os-start', null, 'ACTIVE');
    assert.equal(await second.host(), last);
    await meet(before);
  });

  test('when all is deleted no host has anything left', async () => {
    for (const { server } of [first, second]) {
      await server.delete();
      await server.isGone();
    }
    for (const router of await idsOf('routers')) {
      const ports = await idsOf(`ports?device_id=${router}&device_owner=network:router_interface`);
      for (const port_id of ports)
        await demo.ok('PUT', `/network/v2.0/routers/${router}/remove_router_interface`, { json: { port_id } });
      await demo.ok('DELETE', `/network/v2.0/routers/${router}`);
    }
    for (const host of HOSTS) {
      const space = spaceOf(host);
      await eventually(`${host} has nothing left`, async () => left(space).length === 0, {
        state: async () => left(space),
      });
    }
    assert.deepEqual(await cloud.leaks(), []);
  });

  /** What a host has that was made for guests. */
  function left(space: string): string[] {
    const devices = linksOf(space).filter((name) => name !== 'lo' && name !== 'eth0');
    const tables = run('ip', 'netns', 'exec', space, 'nft', 'list', 'tables').split('\n').filter(Boolean);
    // Room for the next guest, which goes with the host.
    const isRoom = (name: string) => name.endsWith('-vm') && `${linksOf(name)}` === 'lo';
    const spaces = network.guestsSpaces(space).filter((name) => !isRoom(name));
    return [...spaces, ...devices, ...tables, ...dnsmasqs(cloud.dir)];
  }
});

function run(program: string, ...words: readonly string[]): string {
  return execFileSync(program, [...words], { encoding: 'utf8' });
}

function linksOf(space: string): string[] {
  return (JSON.parse(run('ip', '-n', space, '-json', 'link', 'show')) as { ifname: string }[]).map(
    ({ ifname }) => ifname,
  );
}
