/**
 * A network that is real: guests of one network, of two, behind a router, with a floating IP, and what they may not do. Rooted for root;
 * `network-rootless.test.ts` has an ordinary user run it.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Client } from '../client.ts';
import { eventually } from '../eventually.ts';
import { type Reached, RealNetwork, reaches } from './real-network.ts';
import type { RealServer } from './real-server.ts';

const run = promisify(execFile);

describe('a network for servers', { timeout: 600_000 }, () => {
  let world: RealNetwork;
  let demo: Client;
  let first: RealServer;
  let second: RealServer;

  before(async () => {
    world = await RealNetwork.open();
    demo = world.demo;
    [first, second] = await Promise.all([world.launch('first'), world.launch('second')]);
  });
  after(() => world[Symbol.asyncDispose]());

  test('two servers of one network have the addresses that the record says, and reach each other, also by name', async () => {
    const [one, two] = [await world.portOf(first), await world.portOf(second)];
    await eventually('the first has its address', async () => (await first.run('ip -4 addr')).includes(one.address));
    await eventually('the second has its address', async () => (await second.run('ip -4 addr')).includes(two.address));
    assert.ok(await reaches(first, two.address));
    assert.ok(await reaches(second, one.address));
    assert.ok(await reaches(first, 'second'));
  });

  test('metadata is that of the server that asks', async () => {
    const uuid = async (server: RealServer) =>
      JSON.parse(await server.run('wget -q -O - http://169.254.169.254/openstack/latest/meta_data.json')).uuid;
    assert.equal(await uuid(first), first.id);
    assert.equal(await uuid(second), second.id);
  });

  test('a third server on another network is out of reach, until a router joins the two', async () => {
    const other = await world.make('network', { name: 'other' });
    const subnet = { network_id: other, ip_version: 4, cidr: '10.77.0.0/24' };
    const subnetId = await world.make('subnet', subnet);
    const third = await world.launch('third', { networks: [{ uuid: other }] });
    const { address } = await world.portOf(third);
    assert.match(address, /^10\.77\.0\./);
    await eventually('the third has its address', async () => (await third.run('ip -4 addr')).includes(address));
    assert.ok(!(await reaches(first, address)));
    const router = await world.idOf('routers?name=router1');
    await demo.ok('PUT', `/network/v2.0/routers/${router}/add_router_interface`, { json: { subnet_id: subnetId } });
    // Of one group, they may reach each other wherever they are.
    await eventually('the router joins them', () => reaches(first, address), { withinMs: 30_000 });
    await demo.ok('PUT', `/network/v2.0/routers/${router}/remove_router_interface`, { json: { subnet_id: subnetId } });
    await eventually('the router leads there no more', async () => !(await reaches(first, address)));
    await third.act({ forceDelete: null });
  });

  test('a security group admits nothing but what its rules say', async () => {
    const group = await world.make('security_group', { name: 'ssh' }, 'security-groups');
    const { id: port, address } = await world.portOf(second);
    await demo.ok('PUT', `/network/v2.0/ports/${port}`, { json: { port: { security_groups: [group] } } });
    const answers = async () =>
      (await first.run(`echo | timeout 1 nc ${address} 22 2>/dev/null | head -c 3 | grep -c SSH; true`)) === '1';
    await eventually('nobody is let in', async () => !(await answers()));
    const rule = {
      security_group_id: group,
      direction: 'ingress',
      protocol: 'tcp',
      port_range_min: 22,
      port_range_max: 22,
    };
    await world.make('security_group_rule', rule, 'security-group-rules');
    await eventually('it is let in', answers, { withinMs: 10_000 });
    await demo.ok('PUT', `/network/v2.0/ports/${port}`, {
      json: { port: { security_groups: [await world.idOf('security-groups?name=default')] } },
    });
  });

  test('a floating IP answers SSH with the key pair of the server, and nothing that its groups do not admit', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'micronova-key-'));
    try {
      const key = join(dir, 'key');
      await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
      const keypair = { name: 'mine', public_key: await readFile(`${key}.pub`, 'utf8') };
      await demo.ok('POST', '/compute/v2.1/os-keypairs', { json: { keypair } });
      const server = await world.launch('keyed', {
        key_name: 'mine',
        networks: [{ uuid: await world.idOf('networks?name=private') }],
      });
      const { id: port_id } = await world.portOf(server);
      const floating_network_id = await world.idOf('networks?name=public');
      await world.make('floatingip', { floating_network_id, port_id });
      const shown = Object.values(
        (await server.show())?.addresses as Record<string, { addr: string; 'OS-EXT-IPS:type': string }[]>,
      ).flat();
      const outside = shown.find((each) => each['OS-EXT-IPS:type'] === 'floating')?.addr ?? '';
      assert.match(outside, /^198\.1[89]\./);
      const at = await world.reachedAt(outside, 22);
      const options = ['StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'ConnectTimeout=2'];
      const ssh = (command: string) =>
        run('ssh', [
          ...['-i', key, '-p', `${at.port}`, ...options.flatMap((option) => ['-o', option])],
          `root@${at.host}`,
          command,
        ]).then(
          ({ stdout }) => stdout.trim(),
          () => null,
        );
      assert.equal(await ssh('hostname'), null, 'not admitted yet');
      const security_group_id = await world.idOf('security-groups?name=default');
      const rule = { security_group_id, direction: 'ingress', protocol: 'tcp', port_range_min: 22, port_range_max: 22 };
      // It listens by then, and would answer.
      await eventually('SSH listens', async () => (await server.run('netstat -ltn')).includes(':22 '), {
        withinMs: 60_000,
      });
      const made = await world.make('security_group_rule', rule, 'security-group-rules');
      assert.ok((await msUntil(() => answers(at), true)) < 1_000, 'let in within a second');
      assert.equal(await eventually('SSH answers', () => ssh('hostname'), { withinMs: 60_000 }), 'keyed');
      await demo.ok('DELETE', `/network/v2.0/security-group-rules/${made}`);
      assert.ok((await msUntil(() => answers(at), false)) < 1_000, 'kept out within a second');
      assert.equal(await ssh('hostname'), null, 'and stays out, however long it is asked');
      await server.act({ forceDelete: null });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  test('MAC and address are the same after reboot, rebuild, shelve and unshelve', async () => {
    const { address } = await world.portOf(first);
    const seen = async () => {
      await eventually('it has an address', async () => (await first.run('ip -4 addr show eth0')).includes('inet '));
      return first.run('cat /sys/class/net/eth0/address; ip -4 addr show eth0 | grep -o "inet [0-9.]*"');
    };
    const before = await seen();
    assert.ok(before.includes(address));
    await first.act({ reboot: { type: 'HARD' } });
    assert.equal(await seen(), before);
    await first.act({ rebuild: { imageRef: world.image, adminPass: 'correct-horse' } });
    assert.equal(await seen(), before);
    await first.act({ shelve: null });
    await first.act({ unshelve: null });
    assert.equal(await seen(), before);
    assert.ok(await reaches(first, (await world.portOf(second)).address));
  });

  test('a network more while it runs: the guest gets the card and the address, and loses both again', async () => {
    const more = await world.make('network', { name: 'more' });
    await world.make('subnet', { network_id: more, ip_version: 4, cidr: '10.88.0.0/24' });
    const interfaces = `${second.path}/os-interface`;
    const { interfaceAttachment: port } = await demo.ok<{
      interfaceAttachment: { port_id: string; mac_addr: string; fixed_ips: { ip_address: string }[] };
    }>('POST', interfaces, { json: { interfaceAttachment: { net_id: more } } });
    const cards = () => second.run('cat /sys/class/net/eth*/address');
    await eventually('the guest has the card', async () => (await cards()).includes(port.mac_addr));
    const address = port.fixed_ips[0]?.ip_address ?? '';
    await second.run('ip link set eth1 up; timeout 20 udhcpc -i eth1 -n -q > /dev/null 2>&1; true');
    assert.ok((await second.run('ip -4 addr show eth1')).includes(address));
    await demo.ok('DELETE', `${interfaces}/${port.port_id}`);
    await eventually('the guest has lost the card', async () => !(await cards()).includes(port.mac_addr));
  });
});

/**
 * Whether SSH answers there at once. Without root a connection is taken by what leads to the floating IP, whoever is behind: then it has to
 * say something.
 */
function answers({ host, port, isForwarded }: Reached): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ host, port, timeout: isForwarded ? 400 : 100 });
  socket.on(isForwarded ? 'data' : 'connect', () => resolve(true));
  socket.on('timeout', () => resolve(false));
  socket.on('error', () => resolve(false));
  socket.on('close', () => resolve(false));
  return promise.finally(() => socket.destroy());
}

async function msUntil(probe: () => Promise<boolean>, wanted: boolean): Promise<number> {
  const begun = performance.now();
  await eventually('the change is in force', async () => (await probe()) === wanted);
  return performance.now() - begun;
}
