/** Ports as the API has them. */
import type { Queries } from '#db/database.ts';
import type { ListedPort } from '#db/repo/network/lists/ports.ts';
import { type AddressPair, type Port, withDetails } from '#db/repo/network/ports.ts';
import type { Who } from '../access.ts';
import type { View } from '../resource/collection.ts';
import { standardView } from '../resource/standard-view.ts';

type DetailedPort = ListedPort & Pick<Port, 'fixedIps' | 'securityGroupIds' | 'tags'>;

/** Behind names of guests where their network says nothing. */
export const DEFAULT_DOMAIN = 'openstacklocal.';

/** Three queries for all of them. */
export async function portViews(db: Queries, rows: readonly ListedPort[], who: Who): Promise<View[]> {
  return (await withDetails(db, rows)).map((port) => portView(port, who));
}

function portView(port: DetailedPort, who: Who): View {
  const pairs: AddressPair[] = JSON.parse(port.allowed_address_pairs);
  return {
    ...standardView(port),
    name: port.name,
    network_id: port.network_id,
    mac_address: port.mac_address,
    admin_state_up: port.admin_state_up === 1,
    status: port.status,
    device_id: port.device_id,
    device_owner: port.device_owner,
    fixed_ips: port.fixedIps.map(({ subnetId, address }) => ({ subnet_id: subnetId, ip_address: address })),
    security_groups: port.securityGroupIds,
    port_security_enabled: port.port_security === 1,
    allowed_address_pairs: pairs.map((pair) => ({
      ip_address: pair.ip_address,
      mac_address: pair.mac_address || port.mac_address,
    })),
    dns_name: port.dns_name,
    dns_assignment: port.fixedIps.map(({ address }) => assignment(port, address)),
    'binding:vnic_type': port.vnic_type,
    tags: port.tags,
    ...(who.isAdmin && bindingOf(port)),
  };
}

/** A host without networks of its own leaves its guests to QEMU's, in which each is alone and nothing filters. */
function bindingOf(port: DetailedPort): View {
  const type = port.host === '' ? 'unbound' : port.network_kind === 'none' ? 'user' : 'tap';
  return {
    'binding:host_id': port.host,
    'binding:profile': JSON.parse(port.binding_profile),
    'binding:vif_type': type,
    'binding:vif_details': type === 'tap' ? { port_filter: true, connectivity: 'l2' } : {},
  };
}

function assignment(port: DetailedPort, address: string): View {
  const hostname = port.dns_name.replace(/\.$/, '') || `host-${address.replace(/[.:]+/g, '-')}`;
  const domain = port.dns_domain || DEFAULT_DOMAIN;
  return { hostname, ip_address: address, fqdn: `${hostname}.${domain}` };
}
