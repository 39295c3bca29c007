/**
 * Whether the kernel takes what a plane needs: tried in a namespace of its own with the very rules that a network has, and taken away again.
 * Kernels and containers leave out this or that, and say so only when asked.
 */
import type { HostNetwork } from '#contracts/host-network.ts';
import type { Commands } from './commands.ts';
import { NetworkError } from './network-error.ts';
import { bridgeRules } from './texts/bridge-rules.ts';
import { groupRules, type Tracking } from './texts/group-rules.ts';
import { networkNat } from './texts/network-nat.ts';
import { outsideRules } from './texts/outside-rules.ts';
import { nftScript } from './texts/ruleset.ts';

/** Program → package of Debian. */
const PROGRAMS: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  nft: 'nftables',
  dnsmasq: 'dnsmasq-base',
  nsenter: 'util-linux',
};
const ROOTLESS: Readonly<Record<string, string>> = { pasta: 'passt', unshare: 'util-linux', setpriv: 'util-linux' };
const ID = '00000000-0000-4000-8000-000000000000';
const SAMPLE: HostNetwork = {
  networks: [
    {
      id: ID,
      vni: 1,
      mtu: 1450,
      domain: 'probe',
      external: false,
      subnets: [],
      ports: [
        {
          id: ID,
          serverId: ID,
          mac: 'fa:16:3e:00:00:00',
          addresses: [
            { subnetId: ID, address: '192.0.2.1' },
            { subnetId: ID, address: '2001:db8::1' },
          ],
          up: true,
          groups: [ID],
          allowedPairs: [],
        },
      ],
      names: [],
      peers: [],
    },
  ],
  groups: [
    {
      id: ID,
      rules: [
        {
          direction: 'ingress',
          ethertype: 'IPv4',
          protocol: 'tcp',
          min: 22,
          max: 22,
          remoteCidr: null,
          remoteGroupId: ID,
        },
      ],
      members: ['192.0.2.1'],
    },
  ],
  routers: [],
};

/** Throws `NetworkError` with what to install. */
export async function requirePrograms(commands: Commands, kind: 'rooted' | 'rootless'): Promise<void> {
  const wanted = { ...PROGRAMS, ...(kind === 'rootless' && ROOTLESS) };
  const script = Object.keys(wanted).map((name) => `command -v ${name} > /dev/null || echo ${name}\n`);
  // Not where the plane is: that needs these programs.
  const answer = await commands.raw(['sh', '-s'], ['looking for programs'], script.join(''));
  const missing = answer.split('\n').filter(Boolean);
  const packages = new Set(missing.map((name) => wanted[name as keyof typeof wanted]));
  if (missing.length > 0)
    throw new NetworkError([`${missing.join(', ')} missing (Debian: apt install ${[...packages].join(' ')})`]);
}

/** How connections of bridged frames can be tracked here. Throws `NetworkError` with what the kernel did not take. */
export async function probe(commands: Commands, space: string): Promise<Tracking> {
  // Where it is a module that nobody has loaded; without root, and where there are no modules, it is there or not.
  await commands.run(null, ['modprobe', '-q', 'br_netfilter']).catch(() => undefined);
  const existing = (await commands.spaces()).includes(space);
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      throw new NetworkError([`${what}: ${cause instanceof Error ? cause.message.trim() : String(cause)}`], { cause });
    }
  };
  if (!existing) await attempt('a network namespace', () => commands.ip(null, [`netns add ${space}`]));
  try {
    const devices = [
      'link add name br0 type bridge',
      'link add name a type veth peer name b',
      'link add name vx type vxlan id 1 dstport 4789',
    ];
    await attempt('a bridge, a veth, a tap and a VXLAN', () =>
      commands.ip(space, [...devices, 'tuntap add dev tap0 mode tap']),
    );
    const bridged = await commands.run(space, [
      'sh',
      '-c',
      'test ! -e /proc/sys/net/bridge/bridge-nf-call-iptables || echo yes',
    ]);
    const tracking: Tracking = bridged.trim() === 'yes' ? 'inet' : 'bridge';
    const [network] = SAMPLE.networks;
    if (!network) throw new Error('the sample has no network');
    const numberOf = () => 2;
    const rules = [
      bridgeRules(network, numberOf),
      groupRules(network, SAMPLE.groups, numberOf, tracking),
      networkNat(network, () => ({ number: 2, address: '192.0.2.2' }), { address: '192.0.2.3', port: 80 }),
      outsideRules({
        table: 'outside',
        metaBridge: 'br0',
        ways: 'x*',
        tunnels: { port: 4789, vnis: [1], peers: ['192.0.2.4', '2001:db8::4'] },
        range: '100.64.0.0/20',
        service: { address: '100.64.0.1', port: 80 },
        external: ['198.51.100.0/24', '2001:db8:1::/64'],
        resolvers: ['192.0.2.5'],
        forwards: [{ hostPort: 8022, address: '198.51.100.7', port: 22 }],
      }),
    ];
    // At once, since each start waits for it: what is not taken is in the words of nft.
    const scripts = rules.map((each) => nftScript(each, null) ?? '');
    await attempt('rules', () => commands.nft(space, scripts.join('')));
    return tracking;
  } finally {
    await commands.ip(null, [`netns del ${space}`]);
  }
}
