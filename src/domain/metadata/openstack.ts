/**
 * The OpenStack tree of metadata: the files below `openstack/<version>/`.
 * Sources: Nova "Metadata", and its `network_data.json` schema.
 */
import type { AddressFacts, GuestFacts, NicFacts } from './facts.ts';

/** Versions that guests look for; what they hold differs by keys that are never taken away. */
export const OPENSTACK_VERSIONS = [
  '2012-08-10',
  '2013-04-04',
  '2013-10-17',
  '2015-10-15',
  '2016-06-30',
  '2016-10-06',
  '2017-02-22',
  '2018-08-27',
  '2020-10-14',
  'latest',
] as const;

/** Content by name; bytes that need not be text in base64. */
export type MetadataFiles = Readonly<Record<string, string | { readonly base64: string }>>;

/** The files of one version. */
export function openstackFiles(facts: GuestFacts): MetadataFiles {
  const { key, userData } = facts;
  return {
    'meta_data.json': JSON.stringify({
      uuid: facts.id,
      name: facts.name,
      hostname: facts.hostname,
      project_id: facts.projectId,
      launch_index: facts.launchIndex,
      availability_zone: facts.availabilityZone,
      meta: facts.metadata,
      ...(key && {
        public_keys: { [key.name]: key.publicKey },
        keys: [{ name: key.name, type: 'ssh', data: key.publicKey }],
      }),
      devices: [],
      dedicated_cpus: [],
    }),
    'network_data.json': JSON.stringify(networkData(facts.nics)),
    'vendor_data.json': '{}',
    'vendor_data2.json': '{}',
    // As it came: it is often gzip, which does not survive being taken for text.
    ...(userData !== null && { user_data: { base64: userData } }),
  };
}

function networkData(nics: readonly NicFacts[]) {
  const links = nics.map(({ mac, port }, index) => ({
    id: linkOf(index, port?.id),
    type: 'phy',
    ethernet_mac_address: mac,
    ...(port && { vif_id: port.id, mtu: port.mtu }),
  }));
  const networks = nics.flatMap(({ port }, index) => {
    const link = linkOf(index, port?.id);
    if (!port) return [{ id: `network-${link}`, type: 'ipv4_dhcp', link, network_id: link }];
    return port.addresses.map((address) => ({ link, network_id: port.networkId, ...networkOf(address) }));
  });
  const servers = nics.flatMap(({ port }) => port?.addresses.flatMap(({ dnsServers }) => dnsServers) ?? []);
  return {
    links,
    networks: networks.map((network, index) => ({ ...network, id: `network${index}` })),
    services: [...new Set(servers)].map((address) => ({ type: 'dns', address })),
  };
}

/** As Nova names a tap. */
function linkOf(index: number, portId: string | undefined): string {
  return portId === undefined ? `tap${index}` : `tap${portId.slice(0, 11)}`;
}

function networkOf({ address, version, prefix, gateway, by, dnsServers, routes }: AddressFacts) {
  if (by === 'dhcp') return { type: 'ipv4_dhcp' };
  if (by === 'slaac' || by === 'dhcpv6-stateless' || by === 'dhcpv6-stateful') return { type: typeOfV6(by) };
  const everywhere = version === 4 ? ['0.0.0.0', '0.0.0.0'] : ['::', '::'];
  const own = gateway === null ? [] : [{ network: everywhere[0], netmask: everywhere[1], gateway }];
  return {
    type: version === 4 ? 'ipv4' : 'ipv6',
    ip_address: version === 4 ? address : `${address}/${prefix}`,
    ...(version === 4 && { netmask: maskOf(prefix) }),
    routes: [...own, ...routes.map(({ destination, nexthop }) => ({ ...rangeOf(destination), gateway: nexthop }))],
    services: dnsServers.map((server) => ({ type: 'dns', address: server })),
  };
}

function typeOfV6(by: 'slaac' | 'dhcpv6-stateful' | 'dhcpv6-stateless'): string {
  return by === 'slaac' ? 'ipv6_slaac' : `ipv6_${by}`;
}

function rangeOf(cidr: string) {
  const [network = '', prefix = '0'] = cidr.split('/');
  return { network, netmask: network.includes(':') ? prefix : maskOf(Number(prefix)) };
}

/** 24 is 255.255.255.0. */
function maskOf(prefix: number): string {
  const bits = prefix === 0 ? 0 : (0xffffffff << (32 - prefix)) >>> 0;
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}
