/** One network on two hosts: each a namespace of this machine with a plane of its own, and a wire between them. Needs root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import type { NetworkPlan } from '#contracts/host-network.ts';
import { eventually } from '../eventually.ts';
import { Bench, freeTag, TUNNEL_PORT } from './bench.ts';
import { datagram, tunnelled } from './frames.ts';
import { everything, group, id, network, plan, port, router, rule } from './plans.ts';

const [a, b, c] = [port('a', '10.1.0.5'), port('b', '10.1.0.6', { groups: [id('app')] }), port('c', '10.2.0.5')];
/** Hears whatever comes. */
const d = port('d', '10.1.0.7', { groups: null });

test('guests of a network on two hosts', async (t) => {
  await using parts = new AsyncDisposableStack();
  const hosts = new Hosts();
  parts.defer(() => hosts.remove());
  const open = async (index: 0 | 1): Promise<Bench> =>
    parts.use(await Bench.open({ tag: freeTag(), within: hosts.enter(index), underlay: hosts.address(index) }));
  const [one, other] = [await open(0), await open(1)];
  const peersOf = (index: 0 | 1) => ({ peers: [hosts.address(index === 0 ? 1 : 0)] });
  const first = (ports: NetworkPlan['ports'], index: 0 | 1) => network('n1', '10.1.0', ports, peersOf(index));
  const app = group('app', [rule({ protocol: 'icmp', remoteGroupId: id('open') })], []);
  const open4 = { ...everything, members: ['10.1.0.5'] };
  const groups = [open4, app];
  const router1 = router('r', [
    ['n1', '10.1.0'],
    ['n2', '10.2.0'],
  ]);
  const here = plan([first([a], 0), network('n2', '10.2.0', [], peersOf(0))], { groups, routers: [router1] });
  const there = plan([first([b, d], 1), network('n2', '10.2.0', [c], peersOf(1))], { groups });
  await one.plane.apply(here);
  await other.plane.apply(there);
  const near = await one.guest(here, a.id);
  const [far, third, ear] = [
    await other.guest(there, b.id),
    await other.guest(there, c.id),
    await other.guest(there, d.id),
  ];

  await t.test('each host gives addresses to its own', async () => {
    const heard = await ear.listen();
    assert.equal((await near.dhcp()).ip, '10.1.0.5');
    const asked = (last: number) => heard(Buffer.from([0, 0, 0, 0, 0, 0, 10, 1, 0, last]).toString('latin1'));
    assert.ok(await near.ping('10.1.0.2'), 'its own end of the network');
    assert.ok(!(await near.ping('10.1.0.99')), 'nobody');
    await eventually('what is for all is heard', async () => asked(99));
    assert.ok(!heard('udhcp') && !asked(2), 'but for what its own host answers');
    assert.equal((await far.dhcp()).ip, '10.1.0.6');
    assert.equal((await third.dhcp()).ip, '10.2.0.5');
  });

  await t.test('they reach each other, as their groups say', async () => {
    await eventually('the other guest', () => near.ping('10.1.0.6'));
    await far.serve(22, 'far');
    assert.equal(await near.ask('10.1.0.6', 22), null);
    await near.serve(22, 'near');
    assert.equal(await far.ask('10.1.0.5', 22), 'near');
  });

  await t.test('who is no host of the network does not speak in it', async () => {
    const heard = await ear.listen();
    const speak = (from: string, text: string) =>
      hosts.sendTunnelled({ from, to: 1, vni: first([], 1).vni, text, address: '10.1.0.7' });
    await eventually('a host is heard', async () => {
      speak(hosts.stranger, 'a stranger');
      speak(hosts.address(0), 'a host');
      return heard('a host');
    });
    assert.ok(!heard('a stranger'));
  });

  await t.test('they reach another network by a router on one of the hosts', async () => {
    await eventually('by the router', () => third.ping('10.1.0.5'));
  });

  await t.test('who moves is found where he is now', async () => {
    const both = plan([first([a, b, d], 1), network('n2', '10.2.0', [c], peersOf(1))], { groups });
    await other.plane.apply(both);
    const arrived = await other.guest(both, a.id);
    await one.plane.detach(a.id);
    await arrived.configure(24, '10.1.0.1');
    await arrived.run('busybox arping -c 1 -w 1 -U -I eth0 10.1.0.5');
    await eventually('its neighbour', () => arrived.ping('10.1.0.1'));
    await one.plane.apply({ ...here, networks: [first([], 0), ...here.networks.slice(1)] });
    await eventually('by the router', () => third.ping('10.1.0.5'));
  });
});

/** Two namespaces with a wire between them. */
class Hosts {
  /** An address of the first that is not where its tunnels end. */
  readonly stranger = '192.0.2.200';
  readonly #names = [`h${process.pid}a`, `h${process.pid}b`] as const;

  constructor() {
    const [a, b] = this.#names;
    const lines = [`netns add ${a}`, `netns add ${b}`, `link add eth0 netns ${a} type veth peer name eth0 netns ${b}`];
    execFileSync('ip', ['-batch', '-'], { input: lines.join('\n') });
    const mine = `address add ${this.stranger}/24 dev eth0`;
    for (const [index, name] of this.#names.entries()) {
      const inside = [`address add 192.0.2.${index + 101}/24 dev eth0`, 'link set eth0 up', 'link set lo up'];
      execFileSync('ip', ['-n', name, '-batch', '-'], {
        input: [...inside, ...(index === 0 ? [mine] : [])].join('\n'),
      });
    }
  }

  address(index: 0 | 1): string {
    return `192.0.2.${index + 101}`;
  }

  /** A datagram for all of a network, to the end of a host's tunnels. */
  sendTunnelled(what: { from: string; to: 0 | 1; vni: number; text: string; address: string }): void {
    const { from, to, vni, text, address } = what;
    const inner = { mac: '02:00:00:00:00:99', from: '10.1.0.99', ports: [9, 9] as const };
    const input = tunnelled(vni, datagram({ ...inner, address, text }));
    const way = `UDP4-SENDTO:${this.address(to)}:${TUNNEL_PORT},bind=${from}`;
    const [program = '', ...words] = [...this.enter(0), 'socat', '-u', '-', way];
    execFileSync(program, words, { input });
  }

  enter(index: 0 | 1): string[] {
    return ['nsenter', `--net=/run/netns/${this.#names[index]}`, '--'];
  }

  remove(): void {
    for (const name of this.#names) execFileSync('ip', ['netns', 'del', name]);
  }
}
