/**
 * What the networks of one host shall be: all of it, each time. The record says it, the host's agent makes it so and removes
 * what is not in it; so what was missed, or was half done when somebody died, is right after the next time.
 */
import { type Static, Type } from 'typebox';
import { Id, Mac } from './guest.ts';

/** Canonical IPv4 or IPv6. */
const Address = Type.String({ maxLength: 45 });
/** Canonical, with the bits of hosts zero. */
const Cidr = Type.String({ maxLength: 49 });
const Route = Type.Object({ destination: Cidr, nexthop: Address });

export const SubnetPlan = Type.Object({
  id: Id,
  cidr: Cidr,
  gateway: Type.Union([Address, Type.Null()]),
  /** Null: addresses are not given out there, whoever has one sets it himself. */
  dhcp: Type.Union([
    Type.Object({
      /** Where the network's own helpers answer (DHCP, names); it belongs to no guest, and is the same on every host. */
      server: Address,
      /** Given to guests instead of the network's own. */
      dnsServers: Type.Array(Address),
      routes: Type.Array(Route),
      /** For IPv6; null for IPv4. */
      mode: Type.Union([Type.Enum(['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless']), Type.Null()]),
    }),
    Type.Null(),
  ]),
});
export type SubnetPlan = Static<typeof SubnetPlan>;

export const PortAddress = Type.Object({ subnetId: Id, address: Address });
export type PortAddress = Static<typeof PortAddress>;

/** A port whose guest is on this host. */
export const PortPlan = Type.Object({
  id: Id,
  serverId: Id,
  mac: Mac,
  addresses: Type.Array(PortAddress),
  /** `admin_state_up`: false lets nothing through. */
  up: Type.Boolean(),
  /** Its security groups; null: port security is off, anything passes. */
  groups: Type.Union([Type.Array(Id), Type.Null()]),
  /** What it may send besides its own addresses. */
  allowedPairs: Type.Array(Type.Object({ mac: Mac, cidr: Cidr })),
});
export type PortPlan = Static<typeof PortPlan>;

export const NetworkPlan = Type.Object({
  id: Id,
  /** Number of its VXLAN. */
  vni: Type.Integer({ minimum: 1, maximum: 2 ** 24 - 1 }),
  mtu: Type.Integer({ minimum: 68, maximum: 65535 }),
  /** Behind the names of guests. */
  domain: Type.String(),
  /** On the host's way out, where its subnets' gateways are the host itself. */
  external: Type.Boolean(),
  subnets: Type.Array(SubnetPlan),
  /** The ports of guests here. */
  ports: Type.Array(PortPlan),
  /** Every guest of the network, wherever it is: found by name. */
  names: Type.Array(Type.Object({ hostname: Type.String(), addresses: Type.Array(Address) })),
  /** Addresses of the other hosts that have it. */
  peers: Type.Array(Address),
});
export type NetworkPlan = Static<typeof NetworkPlan>;

export const RulePlan = Type.Object({
  direction: Type.Enum(['ingress', 'egress']),
  ethertype: Type.Enum(['IPv4', 'IPv6']),
  /** A name of Neutron's (`tcp`, `icmp`, `ipv6-icmp` …) or a number; null: any. */
  protocol: Type.Union([Type.String(), Type.Null()]),
  /** Ports; for ICMP type and code. */
  min: Type.Union([Type.Integer(), Type.Null()]),
  max: Type.Union([Type.Integer(), Type.Null()]),
  /** Null, and no remote group either: anywhere. */
  remoteCidr: Type.Union([Cidr, Type.Null()]),
  remoteGroupId: Type.Union([Id, Type.Null()]),
});
export type RulePlan = Static<typeof RulePlan>;

/** A security group that a port here is in, or that a rule of such a group names. */
export const GroupPlan = Type.Object({
  id: Id,
  rules: Type.Array(RulePlan),
  /** Addresses of all its ports, wherever they are; only where a rule names the group. */
  members: Type.Array(Address),
});
export type GroupPlan = Static<typeof GroupPlan>;

/** A router that is on this host; its networks are there too. */
export const RouterPlan = Type.Object({
  id: Id,
  interfaces: Type.Array(
    Type.Object({ portId: Id, networkId: Id, mac: Mac, address: Address, prefix: Type.Integer() }),
  ),
  gateway: Type.Union([
    Type.Object({
      portId: Id,
      networkId: Id,
      mac: Mac,
      addresses: Type.Array(Type.Object({ address: Address, prefix: Type.Integer() })),
      nexthops: Type.Array(Address),
      snat: Type.Boolean(),
    }),
    Type.Null(),
  ]),
  floatingIps: Type.Array(Type.Object({ id: Id, address: Address, fixed: Address })),
  routes: Type.Array(Route),
});
export type RouterPlan = Static<typeof RouterPlan>;

export const HostNetwork = Type.Object({
  networks: Type.Array(NetworkPlan),
  groups: Type.Array(GroupPlan),
  routers: Type.Array(RouterPlan),
});
export type HostNetwork = Static<typeof HostNetwork>;
