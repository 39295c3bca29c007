/** The texts for the kernel's tools. That tools take them, and what they do, is tested in `test/network/`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { everything, group, id, network, port, router, rule } from '../../../../../test/network/plans.ts';
import { bridgeRules } from './bridge-rules.ts';
import { networkDnsmasq, routerDnsmasq } from './dnsmasq-config.ts';
import { peerLines, strayLines } from './forwarding.ts';
import { groupRules } from './group-rules.ts';
import { linkChanges } from './links.ts';
import { outsideRules } from './outside-rules.ts';
import { routeLines } from './routes.ts';
import { nftScript, type Ruleset } from './ruleset.ts';

const numberOf = () => 2;
const rules = (members: readonly string[]): Ruleset => {
  const app = port('a', '10.1.0.5', { groups: [id('db')] });
  const db = group('db', [rule({ protocol: 'tcp', min: 1, max: 2, remoteGroupId: id('app') })]);
  return groupRules(network('n', '10.1.0', [app]), [db, group('app', [], members)], numberOf, 'inet');
};

test('a change of members is a change of one set, and of nothing else', () => {
  const before = rules(['10.1.0.7']);
  assert.equal(nftScript(rules(['10.1.0.7']), before), null);
  const name = `m4_${id('app').replaceAll('-', '').slice(0, 12)}`;
  assert.equal(nftScript(rules(['10.1.0.8', 'fd00::1']), before)?.split('\n')[0], `flush set inet mn-groups ${name}`);
  assert.match(
    nftScript(rules(['10.1.0.8']), before) ?? '',
    new RegExp(`^add element inet mn-groups ${name} { 10.1.0.8 }$`, 'm'),
  );
  assert.doesNotMatch(nftScript(rules([]), before) ?? '', /add element/);
});

test('anything else replaces the table in one transaction', () => {
  const before = rules([]);
  const wider = groupRules(network('n', '10.1.0', [port('a', '10.1.0.5')]), [everything], numberOf, 'inet');
  for (const known of [before, null])
    assert.match(
      nftScript(wider, known) ?? '',
      /^add table inet mn-groups\ndelete table inet mn-groups\ntable inet mn-groups {\n/,
    );
});

const words: readonly [Parameters<typeof rule>[0], string][] = [
  [{}, 'meta protocol ip accept'],
  [{ protocol: 'tcp', min: 22, max: 22 }, 'meta protocol ip meta l4proto 6 th dport 22-22 accept'],
  [
    { protocol: '17', min: 5, max: 9, remoteCidr: '10.0.0.0/8' },
    'meta protocol ip ip saddr 10.0.0.0/8 meta l4proto 17 th dport 5-9 accept',
  ],
  [{ protocol: 'icmp', min: 8, max: 0 }, 'meta protocol ip meta l4proto 1 icmp type 8 icmp code 0 accept'],
  [{ ethertype: 'IPv6', protocol: 'icmp', min: 128 }, 'meta protocol ip6 meta l4proto 58 icmpv6 type 128 accept'],
  [{ protocol: '0' }, 'meta protocol ip accept'],
  [
    { direction: 'egress', protocol: 'vrrp', remoteCidr: '10.0.0.0/8' },
    'meta protocol ip ip daddr 10.0.0.0/8 meta l4proto 112 goto to',
  ],
];
for (const [changes, expected] of words)
  test(`a rule in words: ${expected}`, () => {
    const one = { ...group('x', []), rules: [rule(changes)] };
    const made = groupRules(
      network('n', '10.1.0', [port('a', '10.1.0.5', { groups: [id('x')] })]),
      [one],
      numberOf,
      'inet',
    );
    assert.ok(made.chains.includes(expected), made.chains.join('\n'));
  });

test('a rule of a protocol that does not exist is refused', () => {
  const odd = group('x', [rule({ protocol: 'carrier-pigeon' })]);
  const at = network('n', '10.1.0', [port('a', '10.1.0.5', { groups: [id('x')] })]);
  assert.throws(() => groupRules(at, [odd], numberOf, 'inet'), /carrier-pigeon/);
});

test('a port that is in a group which nobody told of lets nothing in', () => {
  const at = network('n', '10.1.0', [port('a', '10.1.0.5', { groups: [id('unknown')] })]);
  const { chains } = groupRules(at, [], numberOf, 'inet');
  assert.deepEqual(chains.slice(chains.indexOf('chain in_2 {'), chains.indexOf('chain in_2 {') + 3), [
    'chain in_2 {',
    'goto late',
    '}',
  ]);
  assert.equal(chains[chains.indexOf('chain late {') + 2], 'drop');
});

test('ranges of allowed pairs swallow what is in them, since a set takes nothing twice', () => {
  const pairs = [
    { mac: 'fa:16:3e:00:00:aa', cidr: '10.9.0.0/16' },
    { mac: 'fa:16:3e:00:00:aa', cidr: '10.9.1.0/24' },
    { mac: 'fa:16:3e:00:00:aa', cidr: '10.9.1.1/32' },
    { mac: 'fa:16:3e:00:00:aa', cidr: '0.0.0.0/0' },
    { mac: 'fa:16:3e:00:00:aa', cidr: '0.0.0.0/0' },
    { mac: 'fa:16:3e:00:00:ab', cidr: '10.1.0.5/32' },
  ];
  const one = { ...port('a', '10.1.0.5', { allowedPairs: pairs }), mac: 'fa:16:3e:00:00:ab' };
  const { sets } = bridgeRules(network('n', '10.1.0', [one]), numberOf);
  assert.deepEqual(sets.find(({ name }) => name === 'senders4')?.elements, [
    '0x00020000 . fa:16:3e:00:00:ab . 10.1.0.5',
    '0x00020000 . fa:16:3e:00:00:aa . 0.0.0.0/0',
  ]);
});

test('the files of dnsmasq take no name that would be more than a name', () => {
  const names = [
    { hostname: 'good', addresses: ['10.1.0.5'] },
    { hostname: 'bad\n10.1.0.1 evil', addresses: ['10.1.0.6'] },
  ];
  const at = network('n', '10.1.0', [port('a', '10.1.0.5'), port('b', '10.1.0.6')], {
    names,
    domain: 'x\nconf-file=/etc',
  });
  const made = networkDnsmasq(at, []);
  assert.deepEqual(made?.names, ['10.1.0.5 good']);
  assert.ok(made?.hosts[0]?.endsWith(',10.1.0.5,good'));
  assert.ok(made?.hosts[1]?.endsWith(',10.1.0.6'));
  assert.ok(made?.main.every((line) => !line.includes('etc')));
});

test('guests are told their own name servers and routes, and no way out where there is none', () => {
  const at = network('n', '10.1.0', []);
  const [subnet] = at.subnets;
  assert.ok(subnet?.dhcp);
  const dhcp = {
    ...subnet.dhcp,
    dnsServers: ['9.9.9.9'],
    routes: [{ destination: '10.7.0.0/16', nexthop: '10.1.0.7' }],
  };
  const made = networkDnsmasq({ ...at, subnets: [{ ...subnet, gateway: null, dhcp }] }, []);
  const tag = `tag:s${id('v4').replaceAll('-', '')}`;
  assert.deepEqual(made?.options, [
    `${tag},option:classless-static-route,169.254.169.254/32,10.1.0.2,10.7.0.0/16,10.1.0.7`,
    `${tag},option:router`,
    `${tag},option:dns-server,9.9.9.9`,
    `${tag},option:mtu,1450`,
  ]);
  assert.equal(networkDnsmasq({ ...at, subnets: [{ ...subnet, dhcp: null }] }, []), null);
});

test('a router announces only prefixes whose gateway it is', () => {
  const v6 = (mode: 'slaac' | 'dhcpv6-stateful') => ({
    id: id('v6'),
    cidr: 'fd00:1::/64',
    gateway: 'fd00:1::1',
    dhcp: { server: 'fd00:1::2', dnsServers: [], routes: [], mode },
  });
  const joined = router('r', [['n', '10.1.0']]);
  const [first] = joined.interfaces;
  assert.ok(first);
  const six = { ...joined, interfaces: [{ ...first, address: 'fd00:1::1', prefix: 64 }] };
  const of = (mode: 'slaac' | 'dhcpv6-stateful') => network('n', '10.1.0', [], { subnets: [v6(mode)] });
  assert.ok(routerDnsmasq(six, [of('slaac')])?.main.some((line) => line.endsWith(',fd00:1::,ra-only,64,86400')));
  assert.ok(
    routerDnsmasq(six, [of('dhcpv6-stateful')])?.main.some((line) => line.endsWith(',fd00:1::,static,64,86400')),
  );
  assert.equal(routerDnsmasq({ ...six, interfaces: [{ ...first, address: 'fd00:1::9' }] }, [of('slaac')]), null);
});

test('devices: what is there as wanted is left alone', () => {
  const wanted = [
    { name: 'br0', origin: 'bridge', mac: '02:00:00:00:00:01', mtu: 1450, up: true, addresses: ['10.1.0.2/24'] },
    { name: 't1', origin: 'given', optional: true, master: 'br0', floods: false, up: true, addresses: [] },
    { name: 'meta', origin: 'given', up: true, addresses: [] },
  ] as const;
  const bare = linkChanges(wanted, [{ ifname: 'lo' }, { ifname: 'old' }], () => true);
  assert.deepEqual(bare, {
    remove: ['old'],
    missing: ['meta'],
    lines: [
      'link add name br0 type bridge stp_state 0 forward_delay 0',
      'link set br0 address 02:00:00:00:00:01',
      'link set br0 mtu 1450',
      'address add 10.1.0.2/24 dev br0',
      'link set br0 up',
    ],
  });
  const slave = { info_slave_data: { flood: false, learning: false } };
  const addresses = [
    { local: '10.1.0.2', prefixlen: 24, scope: 'global' },
    { local: 'fe80::1', prefixlen: 64, scope: 'link' },
  ];
  const there = [
    { ifname: 'br0', address: '02:00:00:00:00:01', mtu: 1450, flags: ['UP'], addr_info: addresses },
    { ifname: 't1', master: 'br0', flags: ['UP'], linkinfo: slave },
    { ifname: 'meta', flags: ['UP'] },
  ];
  assert.deepEqual(
    linkChanges(wanted, there, () => true),
    { remove: [], missing: [], lines: [] },
  );
  const [bridge, tap, meta] = there;
  const moved = [
    { ...bridge, ifname: 'br0', addr_info: [{ local: '10.1.0.3', prefixlen: 24, scope: 'global' }] },
    { ...tap, ifname: 't1', flags: [] },
  ];
  assert.deepEqual(linkChanges(wanted, [...moved, { ...meta, ifname: 'meta' }], () => false).lines, [
    'address del 10.1.0.3/24 dev br0',
    'address add 10.1.0.2/24 dev br0',
    'link set t1 up',
  ]);
});

test('guests do not reach the tunnels of hosts by the way out', () => {
  const { chains } = outsideRules({
    table: 'mn-a',
    metaBridge: 'mnameta',
    ways: 'mnax*',
    tunnels: { port: 4789, vnis: [], peers: [] },
    range: '100.64.0.0/20',
    service: { address: '100.64.0.1', port: 8775 },
    external: ['172.24.4.0/24'],
    resolvers: [],
    forwards: [],
  });
  for (const name of ['input', 'forward']) {
    const from = chains.indexOf(`chain ${name} {`);
    const rules = chains.slice(from, chains.indexOf('}', from));
    assert.ok(rules.includes('iifname "mnax*" udp dport 4789 drop'), name);
  }
});

test('routes and peers that are no longer wanted go', () => {
  const found = [
    { dst: 'default', gateway: '10.0.0.1' },
    { dst: '10.7.0.1', gateway: '10.1.0.7' },
    { dst: '10.8.0.0/16', dev: 'br0' },
  ];
  assert.deepEqual(routeLines(['0.0.0.0/0 via 10.0.0.1', '10.9.0.0/16 via 10.1.0.9'], found), [
    'route del 10.7.0.1/32 via 10.1.0.7 proto 109',
    'route del 10.8.0.0/16 dev br0 scope link proto 109',
    'route replace 0.0.0.0/0 via 10.0.0.1 proto 109',
    'route replace 10.9.0.0/16 via 10.1.0.9 proto 109',
  ]);
  const entries = [
    { mac: '00:00:00:00:00:00', dst: '192.0.2.1' },
    { mac: 'fa:16:3e:00:00:01', dst: '192.0.2.9' },
    { mac: 'fa:16:3e:00:00:02', dst: '192.0.2.2' },
    { mac: '33:33:00:00:00:01' },
  ];
  assert.deepEqual(strayLines('vx', ['192.0.2.2'], entries), ['fdb del fa:16:3e:00:00:01 dev vx dst 192.0.2.9 self']);
  assert.deepEqual(peerLines('vx', ['192.0.2.2'], entries), [
    'fdb del 00:00:00:00:00:00 dev vx dst 192.0.2.1 self permanent',
    'fdb append 00:00:00:00:00:00 dev vx dst 192.0.2.2 self permanent',
  ]);
});
