/** How much of a network service a project may have. */

export const NETWORK_RESOURCES = [
  'network',
  'subnet',
  'port',
  'router',
  'floatingip',
  'security_group',
  'security_group_rule',
] as const;
export type NetworkResource = (typeof NETWORK_RESOURCES)[number];

export type NetworkQuota = Readonly<Record<NetworkResource, number>>;

/** Neutron's defaults; -1 is no limit. */
export const DEFAULT_NETWORK_QUOTA: NetworkQuota = {
  network: 100,
  subnet: 100,
  port: 500,
  router: 10,
  floatingip: 50,
  security_group: 10,
  security_group_rule: 100,
};

/** Of one port. */
export const MAX_FIXED_IPS = 5;
