import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import type { AddressFacts, GuestFacts } from './facts.ts';
import { metadataAt } from './tree.ts';

const fixed: AddressFacts = {
  address: '10.0.0.5',
  version: 4,
  prefix: 24,
  gateway: '10.0.0.1',
  by: 'dhcp',
  dnsServers: ['9.9.9.9'],
  routes: [{ destination: '10.9.0.0/20', nexthop: '10.0.0.2' }],
  floating: null,
};
const facts = (changes: Partial<GuestFacts> = {}, address: Partial<AddressFacts> = {}): GuestFacts => ({
  id: '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0003',
  name: 'web',
  hostname: 'web',
  projectId: 'p',
  imageId: 'ami',
  flavorName: 'm1.tiny',
  reservationId: 'r-1',
  launchIndex: 2,
  availabilityZone: 'nova',
  metadata: { role: 'front' },
  key: { name: 'mine', publicKey: 'ssh-ed25519 AAAA' },
  userData: null,
  securityGroups: ['default', 'web'],
  nics: [
    {
      mac: 'fa:16:3e:00:00:01',
      port: { id: '11111111-2222', networkId: 'net', mtu: 1450, addresses: [{ ...fixed, ...address }] },
    },
  ],
  ...changes,
});
const at = (path: string, of = facts()) => metadataAt(of, path)?.body.toString();
const networkData = (address: Partial<AddressFacts>) =>
  JSON.parse(at('/openstack/latest/network_data.json', facts({}, address)) ?? '');

test('folders answer what is in them, with and without a slash at the end', () => {
  assert.match(at('/') ?? '', /^1\.0\n[\s\S]*latest\nopenstack$/);
  assert.match(at('/openstack/') ?? '', /2018-08-27\n[\s\S]*latest$/);
  assert.equal(at('/openstack/2018-08-27'), 'meta_data.json\nnetwork_data.json\nvendor_data.json\nvendor_data2.json');
  assert.equal(at('/latest/'), 'meta-data/');
  assert.equal(at('/latest/meta-data/public-keys/'), '0=mine');
  assert.equal(at('/latest/meta-data/public-keys/0'), 'openssh-key');
  assert.match(at('/2009-04-04/meta-data/') ?? '', /placement\/\n[\s\S]*public-keys\/$/);
});

test('files answer what they hold; nothing else is there', () => {
  const { uuid, keys, meta, launch_index } = JSON.parse(at('/openstack/latest/meta_data.json') ?? '');
  assert.deepEqual([uuid, launch_index, meta], [facts().id, 2, { role: 'front' }]);
  assert.deepEqual(keys, [{ name: 'mine', type: 'ssh', data: 'ssh-ed25519 AAAA' }]);
  assert.equal(at('/latest/meta-data/local-ipv4'), '10.0.0.5');
  assert.equal(at('/latest/meta-data/security-groups'), 'default\nweb');
  assert.equal(at('/latest/meta-data/public-ipv4', facts({}, { floating: '172.24.4.9' })), '172.24.4.9');
  for (const path of ['/openstack/1999-01-01', '/latest/meta-data/none', '/latest/user-data', '/constructor', '/..'])
    assert.equal(metadataAt(facts(), path), null, path);
  assert.equal(metadataAt(facts(), '/openstack/latest/meta_data.json')?.type, 'application/json');
});

test('user data arrives bit for bit', () => {
  const script = gzipSync('#!/bin/sh\n');
  const of = facts({ userData: script.toString('base64') });
  assert.deepEqual(metadataAt(of, '/openstack/latest/user_data')?.body, script);
  assert.deepEqual(metadataAt(of, '/latest/user-data')?.body, script);
});

test('an address that the guest sets itself is described as a whole', () => {
  assert.deepEqual(networkData({}), {
    links: [
      {
        id: 'tap11111111-22',
        type: 'phy',
        ethernet_mac_address: 'fa:16:3e:00:00:01',
        vif_id: '11111111-2222',
        mtu: 1450,
      },
    ],
    networks: [{ link: 'tap11111111-22', network_id: 'net', type: 'ipv4_dhcp', id: 'network0' }],
    services: [{ type: 'dns', address: '9.9.9.9' }],
  });
  const [byHand] = networkData({ by: null }).networks;
  assert.deepEqual([byHand.ip_address, byHand.netmask, byHand.type], ['10.0.0.5', '255.255.255.0', 'ipv4']);
  assert.deepEqual(byHand.routes, [
    { network: '0.0.0.0', netmask: '0.0.0.0', gateway: '10.0.0.1' },
    { network: '10.9.0.0', netmask: '255.255.240.0', gateway: '10.0.0.2' },
  ]);
  const v6 = { address: 'fd00::5', version: 6, prefix: 64, gateway: 'fd00::1', routes: [] } as const;
  assert.equal(networkData({ ...v6, by: null }).networks[0].ip_address, 'fd00::5/64');
  assert.equal(networkData({ ...v6, by: 'slaac' }).networks[0].type, 'ipv6_slaac');
});
