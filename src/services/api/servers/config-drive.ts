/**
 * What the config drive holds: the metadata that the guest reads at boot.
 * Source: OpenStack "Metadata service and config drive", version 2018-08-27; the password is added later, by the launch.
 */
import type { ConfigDrive } from '#contracts/guest.ts';
import type { ServerRow } from '#db/tables/compute.ts';

/** Files by their path on the drive, or null where no drive is wanted. */
export function configDriveFiles(row: ServerRow): ConfigDrive | null {
  if (row.config_drive === 0) return null;
  const metaData = JSON.stringify({
    uuid: row.id,
    name: row.name,
    hostname: row.hostname,
    project_id: row.project_id,
    launch_index: row.launch_index,
    availability_zone: row.availability_zone ?? 'nova',
    meta: JSON.parse(row.metadata),
    ...(row.public_key !== null && {
      public_keys: { [row.key_name ?? 'key']: row.public_key },
      keys: [{ name: row.key_name, type: 'ssh', data: row.public_key }],
    }),
    devices: [],
    dedicated_cpus: [],
  });
  const links = (JSON.parse(row.nics) as { mac: string }[]).map(({ mac }, index) => ({
    id: `tap${index}`,
    type: 'phy',
    ethernet_mac_address: mac,
  }));
  const networks = links.map(({ id }) => ({ id: `network-${id}`, type: 'ipv4_dhcp', link: id, network_id: id }));
  return {
    'openstack/latest/meta_data.json': metaData,
    'openstack/latest/network_data.json': JSON.stringify({ links, networks, services: [] }),
    'openstack/latest/vendor_data.json': '{}',
    // As it came: it is often gzip, which does not survive being taken for text.
    ...(row.user_data !== null && { 'openstack/latest/user_data': { base64: row.user_data } }),
  };
}
