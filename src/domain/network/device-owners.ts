/** What ports are for, in Neutron's words. */

export const DEVICE_OWNERS = {
  server: 'compute:nova',
  dhcp: 'network:dhcp',
  routerInterface: 'network:router_interface',
  routerGateway: 'network:router_gateway',
  floatingIp: 'network:floatingip',
} as const;

/** Ports of routers and floating IPs: they come and go with what they are for. */
export const OWNED_ELSEWHERE: readonly string[] = [
  DEVICE_OWNERS.routerInterface,
  DEVICE_OWNERS.routerGateway,
  DEVICE_OWNERS.floatingIp,
];

/** The network's own ports have no security groups and send what they like. */
export function isNetworkOwned(deviceOwner: string): boolean {
  return deviceOwner.startsWith('network:');
}

export function isServerOwned(deviceOwner: string): boolean {
  return deviceOwner.startsWith('compute:');
}
