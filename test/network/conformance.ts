/** What every plane does for guests; `rooted.test.ts` and `rootless.test.ts` say where. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { HostNetwork } from '#contracts/host-network.ts';
import { linkLocal } from '#services/compute/network/addresses.ts';
import { namesOf } from '#services/compute/network/names.ts';
import { eventually } from '../eventually.ts';
import { Bench, type Guest, type Kind } from './bench.ts';
import { arpAnswer, datagram, reverseArp, routerAdvertisement } from './frames.ts';
import { everything, external, gateway, group, id, network, plan, port, router, rule } from './plans.ts';
import { Wan } from './wan.ts';

/** `within a second`, of the decision and not of this machine's other work. */
const SOON = { withinMs: 1_000 };

export function conformance(kind: Kind): void {
  describe(`a ${kind} network plane`, { concurrency: false }, () => {
    const on = async (wanted: HostNetwork): Promise<Bench> => {
      const bench = await Bench.open({ kind });
      await bench.plane.apply(wanted);
      return bench;
    };

    test('gives guests addresses and names, and keeps networks apart until a router joins them', async () => {
      const [a, b, c] = [port('a', '10.1.0.5'), port('b', '10.1.0.6'), port('c', '10.2.0.5')];
      const names = [
        { hostname: 'alpha', addresses: ['10.1.0.5'] },
        { hostname: 'beta', addresses: ['10.1.0.6'] },
      ];
      const apart = plan([network('n1', '10.1.0', [a, b], { names }), network('n2', '10.2.0', [c])]);
      await using bench = await on(apart);
      const [first, second, third] = [
        await bench.guest(apart, a.id),
        await bench.guest(apart, b.id),
        await bench.guest(apart, c.id),
      ];
      const told = await first.dhcp();
      assert.equal(told.ip, '10.1.0.5');
      assert.equal(told.mtu, '1450');
      assert.equal(told.hostname, 'alpha');
      assert.equal(told.staticroutes, '169.254.169.254/32 10.1.0.2 0.0.0.0/0 10.1.0.1');
      assert.equal((await second.dhcp()).ip, '10.1.0.6');
      assert.equal((await third.dhcp()).ip, '10.2.0.5');
      assert.match(await first.run('busybox nslookup beta.cloud.test 10.1.0.2'), /10\.1\.0\.6/);
      assert.ok(await first.ping('10.1.0.6'), 'in the network');
      assert.ok(!(await first.ping('10.2.0.5')), 'not yet in the other');
      // The host's own end of the network is no way there either.
      await first.run('ip route replace 10.2.0.0/24 via 10.1.0.2');
      assert.ok(!(await first.ping('10.2.0.5')), 'not by the host');
      await first.run('ip route del 10.2.0.0/24');
      await bench.plane.apply({
        ...apart,
        routers: [
          router('r', [
            ['n1', '10.1.0'],
            ['n2', '10.2.0'],
          ]),
        ],
      });
      await eventually('the way by the router', () => first.ping('10.2.0.5'));
      await bench.plane.apply(apart);
      assert.ok(!(await first.ping('10.2.0.5')), 'the router is gone');
    });

    test('a guest whose address was another’s a moment ago gets it', async () => {
      const before = plan([network('n1', '10.1.0', [port('a', '10.1.0.5')])]);
      await using bench = await on(before);
      assert.equal((await (await bench.guest(before, id('a'))).dhcp()).ip, '10.1.0.5');
      const after = plan([network('n1', '10.1.0', [port('b', '10.1.0.5')])]);
      await bench.plane.apply(after);
      assert.equal((await (await bench.guest(after, id('b'))).dhcp()).ip, '10.1.0.5');
    });

    test('who comes later is told of by the same helper', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.1.0.6')];
      const before = plan([network('n1', '10.1.0', [a])]);
      const names = [{ hostname: 'late', addresses: ['10.1.0.6'] }];
      const after = plan([network('n1', '10.1.0', [a, b], { names })]);
      await using bench = await on(before);
      const helper = async () => (await bench.traces()).filter((line) => line.includes('--conf-file'));
      const first = await bench.guest(before, a.id);
      await first.dhcp();
      const begun = bench.said.filter((command) => command.startsWith('dnsmasq')).length;
      await bench.plane.apply(after);
      assert.equal((await (await bench.guest(after, b.id)).dhcp()).ip, '10.1.0.6');
      await eventually('its name', () =>
        first.succeeds('busybox nslookup late.cloud.test 10.1.0.2 | grep -q 10.1.0.6'),
      );
      assert.equal(bench.said.filter((command) => command.startsWith('dnsmasq')).length, begun);
      assert.equal((await helper()).length, 1);
    });

    test('guests make themselves IPv6 addresses as their router says, and groups count there too', async () => {
      const subnet = (net: string) => ({
        id: id('v6'),
        cidr: `2001:db8:${net}::/64`,
        gateway: `2001:db8:${net}::1`,
        dhcp: { server: `2001:db8:${net}::2`, dnsServers: [], routes: [], mode: 'slaac' as const },
      });
      const own = (mac: string, net: string) => linkLocal(mac).replace('fe80::', `2001:db8:${net}:0:`);
      const withOwn = (word: string, net: string, groups: readonly string[]) => {
        const made = port(word, [], { groups: [...groups] });
        return { ...made, addresses: [{ subnetId: id('v6'), address: own(made.mac, net) }] };
      };
      const [a, b] = [withOwn('a', '1', [id('open')]), withOwn('b', '2', [id('six')])];
      const [near, far] = [own(a.mac, '1'), own(b.mac, '2')];
      const interfaces = ['1', '2'].map((net) => ({
        portId: id(`p${net}`),
        networkId: id(`n${net}`),
        mac: `fa:16:3e:01:00:0${net}`,
        address: `2001:db8:${net}::1`,
        prefix: 64,
      }));
      const wanted: HostNetwork = {
        networks: [
          network('n1', '10.1.0', [a], { subnets: [subnet('1')] }),
          network('n2', '10.2.0', [b], { subnets: [subnet('2')] }),
        ],
        groups: [
          everything,
          group('six', [rule({ ethertype: 'IPv6', protocol: 'tcp', min: 22, max: 22, remoteCidr: '2001:db8:1::/64' })]),
        ],
        routers: [{ ...router('r', []), interfaces }],
      };
      await using bench = await on(wanted);
      const [first, second] = [await bench.guest(wanted, a.id), await bench.guest(wanted, b.id)];
      for (const [guest, address] of [
        [first, near],
        [second, far],
      ] as const) {
        const has = async () =>
          (await guest.run('ip -6 -o addr show dev eth0 scope global -tentative')).includes(address);
        await eventually(`the address ${address}`, has);
      }
      await second.serve(22, 'six');
      await second.serve(80, 'six');
      await eventually('by the router', async () => (await first.ask(`[${far}]`, 22)) === 'six');
      assert.equal(await first.ask(`[${far}]`, 80), null);
      assert.ok(await second.ping(near), 'answers come in');
    });

    test('security groups: nothing comes in uninvited, answers do, and a rule counts at once in both directions', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.1.0.6', { groups: [id('web')] })];
      const closed = { ...plan([network('n1', '10.1.0', [a, b])]), groups: [everything, group('web', [])] };
      const ssh = rule({ protocol: 'tcp', min: 22, max: 22 });
      const open = { ...closed, groups: [everything, group('web', [ssh])] };
      await using bench = await on(closed);
      const [asks, serves] = [await bench.guest(closed, a.id), await bench.guest(closed, b.id)];
      await asks.configure(24);
      await serves.configure(24);
      await serves.serve(22, 'welcome');
      await serves.serve(80, 'welcome');
      await asks.serve(80, 'hello');
      assert.equal(await asks.ask('10.1.0.6', 22), null);
      assert.equal(await serves.ask('10.1.0.5', 80), 'hello', 'answers come in');
      await bench.plane.apply(open);
      await eventually('port 22 is open', async () => (await asks.ask('10.1.0.6', 22)) === 'welcome', SOON);
      assert.equal(await asks.ask('10.1.0.6', 80), null, 'and no other');
      const heard = await asks.talk('10.1.0.6', 22);
      await eventually('they talk', async () => heard() > 100);
      await bench.plane.apply(closed);
      await eventually('they fall silent', async () => {
        const before = heard();
        await delay(300);
        return heard() === before;
      });
      assert.equal(await asks.ask('10.1.0.6', 22), null);
    });

    test('security groups: a rule for a group is for those who are in it now', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.1.0.6', { groups: [id('db')] })];
      const db = (members: readonly string[]) => ({
        ...plan([network('n1', '10.1.0', [a, b])]),
        groups: [
          everything,
          group('db', [rule({ protocol: 'tcp', min: 5432, max: 5432, remoteGroupId: id('app') })]),
          group('app', [], members),
        ],
      });
      const none = db([]);
      await using bench = await on(none);
      const [asks, serves] = [await bench.guest(none, a.id), await bench.guest(none, b.id)];
      await asks.configure(24);
      await serves.configure(24);
      await serves.serve(5432, 'rows');
      assert.equal(await asks.ask('10.1.0.6', 5432), null);
      bench.said.length = 0;
      await bench.plane.apply(db(['10.1.0.5', '10.9.0.9']));
      assert.equal(await asks.ask('10.1.0.6', 5432), 'rows');
      await bench.plane.apply(db(['10.9.0.9']));
      assert.equal(await asks.ask('10.1.0.6', 5432), null);
    });

    test('a port that is down lets nothing through, and does when it is up again', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.1.0.6')];
      const up = plan([network('n1', '10.1.0', [a, b])]);
      await using bench = await on(up);
      const [first, second] = [await bench.guest(up, a.id), await bench.guest(up, b.id)];
      await first.configure(24);
      await second.configure(24);
      assert.ok(await first.ping('10.1.0.6'));
      await bench.plane.apply(plan([network('n1', '10.1.0', [a, { ...b, up: false }])]));
      assert.ok(!(await first.ping('10.1.0.6')));
      await bench.plane.apply(up);
      await eventually('it answers again', () => first.ping('10.1.0.6'));
    });

    test('nobody speaks for another: MAC, IP, ARP, DHCP and routers, unless port security is off', async () => {
      const [liar, open, victim] = [
        port('liar', '10.1.0.5'),
        port('free', '10.1.0.6', { groups: null }),
        port('victim', '10.1.0.7'),
      ];
      const wanted = plan([network('n1', '10.1.0', [liar, open, victim])]);
      await using bench = await on(wanted);
      const guests = new Map<string, Guest>();
      for (const each of [liar, open, victim]) guests.set(each.id, await bench.guest(wanted, each.id));
      const heard = await guests.get(victim.id)?.listen();
      assert.ok(heard);
      const lies = (mac: string, own: string, mark: string) => [
        datagram({ mac: 'fa:16:3e:99:99:99', from: own, address: '10.1.0.255', ports: [9, 9], text: `mac ${mark}` }),
        datagram({ mac, from: '10.1.0.1', address: '10.1.0.255', ports: [9, 9], text: `ip ${mark}` }),
        arpAnswer(mac, '10.1.0.1', `arp ${mark}`),
        reverseArp('fa:16:3e:99:99:99', `moved ${mark}`),
        datagram({ mac, from: own, address: '255.255.255.255', ports: [67, 68], text: `dhcp ${mark}` }),
        routerAdvertisement(mac, full(linkLocal(mac)), `ra ${mark}`),
      ];
      const truth = (mac: string, own: string, mark: string) =>
        datagram({ mac, from: own, address: '10.1.0.255', ports: [9, 9], text: `truth ${mark}` });
      for (const each of [liar, open]) {
        const own = each.addresses[0]?.address ?? '';
        await guests.get(each.id)?.send(...lies(each.mac, own, each.id), truth(each.mac, own, each.id));
        await eventually('what is true arrives, after all else', async () => heard(`truth ${each.id}`));
      }
      for (const lie of ['mac', 'ip', 'arp', 'moved', 'dhcp', 'ra']) {
        // So the frames are such as would arrive.
        assert.ok(heard(`${lie} ${open.id.slice(0, 8)}`), `${lie} of a port without security`);
        assert.ok(!heard(`${lie} ${liar.id.slice(0, 8)}`), `${lie} of a port with security`);
      }
    });

    test('what a port may say besides is in its allowed pairs', async () => {
      const [a, b] = [
        port('a', '10.1.0.5', { allowedPairs: [{ mac: 'fa:16:3e:00:aa:01', cidr: '10.1.0.100/32' }] }),
        port('b', '10.1.0.6'),
      ];
      const wanted = plan([network('n1', '10.1.0', [a, b])]);
      await using bench = await on(wanted);
      const [first, second] = [await bench.guest(wanted, a.id), await bench.guest(wanted, b.id)];
      await second.configure(24);
      await first.run('ip link set eth0 address fa:16:3e:00:aa:01 && ip addr add 10.1.0.100/24 dev eth0');
      assert.ok(await first.ping('10.1.0.6'));
      await first.run('ip addr flush dev eth0 && ip addr add 10.1.0.101/24 dev eth0');
      assert.ok(!(await first.ping('10.1.0.6')));
    });

    test('guests reach the world from the router’s address, and are reached at their floating IPs', async () => {
      const [a, b, lone] = [port('a', '10.1.0.5'), port('b', '10.1.0.6'), port('c', '10.2.0.5')];
      const nets = [network('n1', '10.1.0', [a, b]), network('n2', '10.2.0', [lone]), external()];
      const way = gateway();
      const joined = router(
        'r',
        [
          ['n1', '10.1.0'],
          ['n2', '10.2.0'],
        ],
        { gateway: way },
      );
      const floating = { id: id('f'), address: '203.0.113.50', fixed: '10.1.0.5' };
      const wanted = plan(nets, { routers: [{ ...joined, floatingIps: [floating] }] });
      await using bench = await on(wanted);
      const guests = [await bench.guest(wanted, a.id), await bench.guest(wanted, b.id)] as const;
      for (const guest of guests) await guest.configure(24, '10.1.0.1');
      await guests[0].serve(22, 'first');
      using wan = new Wan();
      assert.equal(await eventually('the world', () => guests[0].ask(wan.address, wan.port)), 'world');
      assert.equal(await guests[1].ask(wan.address, wan.port), 'world');
      const machine = async (): Promise<string | null> => {
        const [forward] = bench.plane.forwards();
        return forward ? wan.ask('127.0.0.1', forward.hostPort) : wan.ask('203.0.113.50', 22);
      };
      assert.equal(await machine(), 'first', 'from the machine');
      assert.equal(await guests[1].ask('203.0.113.50', 22), 'first', 'from a neighbour');
      const given = { ...floating, fixed: '10.1.0.6' };
      await guests[1].serve(22, 'second');
      await bench.plane.apply({ ...wanted, routers: [{ ...joined, floatingIps: [given] }] });
      assert.equal(await machine(), 'second', 'it is another’s now');
      await bench.plane.apply({ ...wanted, routers: [joined] });
      assert.equal(await machine(), null, 'it is nobody’s now');
      assert.deepEqual(bench.plane.forwards(), []);
      await bench.plane.apply({ ...wanted, routers: [{ ...joined, gateway: { ...way, snat: false } }] });
      if (kind === 'rooted') assert.equal(await guests[1].ask(wan.address, wan.port), null, 'no way out without SNAT');
    });

    test('the metadata service knows who asks, whatever he says', async () => {
      const [a, b, c] = [
        port('a', '10.1.0.5'),
        port('b', '10.1.0.6', { groups: null }),
        port('c', '10.1.0.5', { addresses: [{ subnetId: id('v4'), address: '10.1.0.5' }] }),
      ];
      const wanted = plan([network('n1', '10.1.0', [a, b]), network('n2', '10.1.0', [c])]);
      await using bench = await on(wanted);
      const server = await bench.plane.metadataServer();
      server.on('connection', (socket) => {
        socket.on('error', () => undefined);
        socket.end(`HTTP/1.0 200 OK\r\n\r\n${bench.plane.identityOf(socket.remoteAddress ?? '')}`);
      });
      using _server = { [Symbol.dispose]: () => server.close() };
      const ask = (guest: Guest) => guest.run('busybox timeout 2 busybox wget -q -O - http://169.254.169.254/');
      const guests = [];
      for (const each of [a, b, c]) {
        const guest = await bench.guest(wanted, each.id);
        await guest.dhcp();
        assert.equal(await ask(guest), each.id);
        guests.push(guest);
      }
      const thief = guests[1];
      await thief?.run('ip addr flush dev eth0 && ip addr add 10.1.0.5/24 dev eth0');
      const answer = await thief
        ?.run(
          'ip route replace 169.254.169.254 via 10.1.0.2; busybox timeout 2 busybox wget -q -O - http://169.254.169.254/',
        )
        .catch(() => '');
      assert.notEqual(answer, a.id, 'a stolen address does not make him another');
      assert.equal(bench.plane.identityOf('203.0.113.1'), null);
    });

    test('a plan that goes takes everything with it', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.2.0.5')];
      const one = plan([network('n1', '10.1.0', [a]), external()], {
        routers: [router('r', [['n1', '10.1.0']], { gateway: gateway() })],
      });
      const other = plan([network('n2', '10.2.0', [b])]);
      await using bench = await on(one);
      await bench.guest(one, a.id);
      await bench.plane.apply(other);
      const left = (await bench.traces()).filter((each) => each.includes(id('n1').slice(0, 8)) || each.includes('-r-'));
      assert.deepEqual(left, []);
      await bench.plane.apply(plan([]));
      const { guests } = namesOf(bench.tag);
      const isBare = async () => `${await bench.traces()}` === guests;
      await eventually('only room for guests', isBare, { state: () => bench.traces() });
      const devices = (await bench.commands.links(guests)).map(({ ifname }) => ifname);
      assert.deepEqual(devices, ['lo']);
    });

    test('what others break is made again, and nothing else is touched', async () => {
      const [a, b] = [port('a', '10.1.0.5'), port('b', '10.1.0.6')];
      const wanted = plan([network('n1', '10.1.0', [a, b]), external()], {
        routers: [router('r', [['n1', '10.1.0']], { gateway: gateway() })],
      });
      await using bench = await on(wanted);
      const first = await bench.guest(wanted, a.id);
      await first.dhcp();
      const { network: spaceOf, router: routerOf, table } = namesOf(bench.tag);
      await bench.plane.apply(wanted);
      bench.said.length = 0;
      await bench.plane.apply(wanted);
      const changing = bench.said.filter((command) => !/^ip -json|^nft -f -$|^sh -es$/.test(command));
      assert.deepEqual(changing, [], 'a second time is only a look');
      const pid = await bench.commands.run(null, ['cat', join(bench.dir, spaceOf(id('n1')), 'pid')]);
      await bench.commands.run(null, ['kill', '-KILL', pid.trim()]);
      if (kind === 'rootless') process.kill(Number(readFileSync(join(bench.dir, 'pasta.pid'), 'utf8')), 'SIGKILL');
      await bench.outside('nft', 'delete', 'table', 'inet', table);
      await bench.outside('ip', 'netns', 'del', routerOf(id('r')));
      await bench.commands.ip(spaceOf(id('n1')), ['link set br0 down', 'address del 10.1.0.2/24 dev br0']);
      await eventually('the router is gone', async () => !(await first.ping('203.0.113.1')));
      await bench.plane.apply(wanted);
      await eventually('the way out', () => first.ping('203.0.113.1'));
      assert.match(await bench.outside('nft', 'list', 'tables'), new RegExp(` ${table}$`, 'm'));
      assert.equal((await (await bench.guest(wanted, b.id)).dhcp()).ip, '10.1.0.6');
      using wan = new Wan();
      await eventually('the world', async () => (await first.ask(wan.address, wan.port)) === 'world');
    });

    test('one broken network does not stop the others', async () => {
      const a = port('a', '10.1.0.5', { groups: [id('odd')] });
      const b = port('b', '10.2.0.5');
      const wanted = { ...plan([network('n1', '10.1.0', [a]), network('n2', '10.2.0', [b])]) };
      const broken = { ...wanted, groups: [everything, group('odd', [rule({ protocol: 'carrier-pigeon' })])] };
      await using bench = await Bench.open({ kind });
      await assert.rejects(bench.plane.apply(broken), /^NetworkError: network .*carrier-pigeon/);
      const guest = await bench.guest(broken, b.id);
      assert.equal((await guest.dhcp()).ip, '10.2.0.5');
      await bench.plane.apply({ ...broken, groups: [everything, group('odd', [rule()])] });
      assert.equal((await (await bench.guest(wanted, a.id)).dhcp()).ip, '10.1.0.5');
    });
  });
}

/** With all its digits. */
function full(address: string): string {
  const [head = '', tail = ''] = address.split('::');
  const words = (part: string) =>
    part
      .split(':')
      .filter(Boolean)
      .map((word) => word.padStart(4, '0'));
  const [front, back] = [words(head), words(tail)];
  return [...front, ...Array.from({ length: 8 - front.length - back.length }, () => '0000'), ...back].join(':');
}
