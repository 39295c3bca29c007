/** What clients ask before they use a feature. Only what is really there is in it. */
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { View } from './resource/collection.ts';

const EXTENSIONS: Readonly<Record<string, string>> = {
  agent: 'agent',
  'allowed-address-pairs': 'Allowed Address Pairs',
  'auto-allocated-topology': 'Auto Allocated Topology Services',
  availability_zone: 'Availability Zone',
  binding: 'Port Binding',
  'dns-integration': 'DNS Integration',
  'external-net': 'Neutron external network',
  extraroute: 'Neutron Extra Route',
  'extraroute-atomic': 'Atomically add/remove extra routes',
  'ext-gw-mode': 'Neutron L3 Configurable external gateway mode',
  'filter-validation': 'Filter parameters validation',
  'net-mtu': 'Network MTU',
  'net-mtu-writable': 'Network MTU (writable)',
  network_availability_zone: 'Network Availability Zone',
  'network-ip-availability': 'Network IP Availability',
  pagination: 'Pagination support',
  'port-security': 'Port Security',
  'project-id': 'project_id field enabled',
  provider: 'Provider Network',
  quotas: 'Quota management support',
  quota_details: 'Quota details management support',
  router: 'Neutron L3 Router',
  router_availability_zone: 'Router Availability Zone',
  'security-group': 'security-group',
  'security-groups-normalized-cidr': 'Normalized CIDR field for security group rules',
  sorting: 'Sorting support',
  'stateful-security-group': 'Stateful security group',
  'standard-attr-description': 'standard-attr-description',
  'standard-attr-revisions': 'Resource revision numbers',
  'standard-attr-tag': 'Tag support for resources with standard attribute',
  'standard-attr-timestamp': 'Resource timestamps',
};

const PRESENT = Object.entries(EXTENSIONS);

function extensionView(alias: string, name: string): View {
  return { alias, name, description: name, updated: '2016-01-01T00:00:00-00:00', links: [] };
}

export function extensionRoutes(): readonly Route[] {
  return [
    route({
      method: 'GET',
      path: '/v2.0/extensions',
      doc: 'What this network service can do.',
      access: 'token',
      success: 200,
      handle: () => ({ body: { extensions: PRESENT.map(([alias, name]) => extensionView(alias, name)) } }),
    }),
    route({
      method: 'GET',
      path: '/v2.0/extensions/:alias',
      doc: 'One of them.',
      access: 'token',
      success: 200,
      handle({ params }) {
        const found = PRESENT.find(([alias]) => alias === params.alias);
        if (!found) throw new CloudError('notThere', { reason: `Extension with alias ${params.alias} does not exist` });
        return { body: { extension: extensionView(...found) } };
      },
    }),
  ];
}
