/**
 * The network tables. Times are epoch ms, booleans 0 or 1, addresses of ports fixed-width hex (`domain/network/address.ts`):
 * they sort as addresses do. Other addresses and ranges are canonical text.
 */

/** What every thing of the network service has. */
interface Standard {
  id: string;
  project_id: string;
  name: string;
  description: string;
  created_at: number;
  updated_at: number;
  /** Counts every change, from 0. */
  revision: number;
}

export interface NetworkRow extends Standard {
  admin_state_up: number;
  /** Every project may use it. */
  shared: number;
  /** The way out: routers' gateways and floating IPs. */
  external: number;
  /** The external network of auto-allocated topologies. */
  is_default: number;
  mtu: number;
  /** What its ports have unless they say otherwise. */
  port_security: number;
  /** Behind the names of its guests; empty for the cloud's own. */
  dns_domain: string;
  /** Number of its VXLAN, on external ones too. */
  vni: number;
}

export interface SubnetRow extends Standard {
  network_id: string;
  ip_version: 4 | 6;
  cidr: string;
  gateway_ip: string | null;
  enable_dhcp: number;
  ipv6_ra_mode: Ipv6Mode | null;
  ipv6_address_mode: Ipv6Mode | null;
  /** JSON array of `Pool`. */
  allocation_pools: string;
  /** JSON array of addresses. */
  dns_nameservers: string;
  /** JSON array of `{destination, nexthop}`. */
  host_routes: string;
}

export const IPV6_MODES = ['slaac', 'dhcpv6-stateful', 'dhcpv6-stateless'] as const;
export type Ipv6Mode = (typeof IPV6_MODES)[number];

export interface PortRow extends Standard {
  network_id: string;
  /** Whose network it is, which never changes: he sees all its ports. */
  network_project: string;
  mac_address: string;
  admin_state_up: number;
  /** Empty for a port that nobody uses. */
  device_id: string;
  device_owner: string;
  /** Its place among the ports of its server, from 0. */
  nic: number;
  /** It was made for its server, and goes with it. */
  made_for_server: number;
  port_security: number;
  /** JSON array of `{mac_address, ip_address}`. */
  allowed_address_pairs: string;
  dns_name: string;
  /** What an administrator wrote; a server's port is where its server is. */
  binding_host: string;
  vnic_type: string;
  /** JSON object. */
  binding_profile: string;
}

export interface PortAddressRow {
  port_id: string;
  subnet_id: string;
  address: string;
}

export interface PortSecurityGroupRow {
  port_id: string;
  group_id: string;
}

export interface SecurityGroupRow extends Standard {
  stateful: number;
  /** The one that a project's ports are in where nobody says otherwise. */
  is_default: number;
}

export interface SecurityGroupRuleRow extends Omit<Standard, 'name'> {
  group_id: string;
  direction: 'ingress' | 'egress';
  ethertype: 'IPv4' | 'IPv6';
  protocol: string | null;
  /** For ICMP the type. */
  port_min: number | null;
  /** For ICMP the code. */
  port_max: number | null;
  remote_cidr: string | null;
  remote_group_id: string | null;
}

/** Its interfaces and its gateway are ports with its id as their device. */
export interface RouterRow extends Standard {
  admin_state_up: number;
  enable_snat: number;
  /** JSON array of `{destination, nexthop}`. */
  routes: string;
  /** Where it is now; null until a host was given it. */
  host: string | null;
}

export interface FloatingIpRow extends Omit<Standard, 'name'> {
  /** The external network. */
  network_id: string;
  address: string;
  /** The port on the external network that holds the address. */
  port_id: string;
  /** What it leads to; null for nothing. */
  fixed_port_id: string | null;
  fixed_address: string | null;
  router_id: string | null;
  dns_name: string;
  dns_domain: string;
}

/** A limit that an administrator has set. */
export interface NetworkQuotaRow {
  project_id: string;
  resource: string;
  amount: number;
}

export interface NetworkTagRow {
  resource_id: string;
  tag: string;
}

/** The topology that was made for a project that asked for any. */
export interface AutoTopologyRow {
  project_id: string;
  network_id: string;
  router_id: string;
}

export interface NetworkTables {
  networks: NetworkRow;
  subnets: SubnetRow;
  ports: PortRow;
  port_addresses: PortAddressRow;
  port_security_groups: PortSecurityGroupRow;
  security_groups: SecurityGroupRow;
  security_group_rules: SecurityGroupRuleRow;
  routers: RouterRow;
  floating_ips: FloatingIpRow;
  network_quotas: NetworkQuotaRow;
  network_tags: NetworkTagRow;
  auto_topologies: AutoTopologyRow;
}
