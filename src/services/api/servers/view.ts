/**
 * A server as the API shows it: a table of keys, each with the microversion that brought it and who sees it. The API
 * reference lists the same table.
 */
import { createHash } from 'node:crypto';
import type { ServerRow } from '#db/tables/compute.ts';
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import type { Fault } from '#domain/instance/instance.ts';
import { statusOf } from '#domain/instance/states.ts';
import { flavorLinks } from '../flavors/view.ts';
import { micros, zulu } from '../times.ts';
import type { ServerNetworks } from './server-networks.ts';

interface Viewer {
  readonly version: number;
  readonly isAdmin: boolean;
  readonly base: string;
  /** What it has of the network; where it is missing these keys are, too. */
  readonly networks?: ServerNetworks;
  /** The server's group; known where the answer is about this one server. */
  readonly groupId?: string | null;
}

interface ServerKey {
  readonly key: string;
  /** First and last microversion (minor) with the key; always, where not given. */
  readonly from?: number;
  readonly until?: number;
  readonly who?: 'admin';
  /** Only in these answers. */
  readonly only?: 'single';
  /** Answers undefined where the key is left out. */
  readonly value: (row: ServerRow, viewer: Viewer) => unknown;
}

const WITH_PROGRESS = new Set(['ACTIVE', 'BUILD', 'REBUILD', 'RESIZE', 'VERIFY_RESIZE', 'MIGRATING']);

export const SERVER_KEYS: readonly ServerKey[] = [
  { key: 'id', value: (row) => row.id },
  { key: 'name', value: (row) => row.name },
  { key: 'status', value: (row) => shownStatus(row) },
  { key: 'tenant_id', value: (row) => row.project_id },
  { key: 'user_id', value: (row) => row.user_id },
  { key: 'metadata', value: (row) => JSON.parse(row.metadata) },
  { key: 'hostId', value: (row) => hostIdOf(row) },
  {
    key: 'image',
    value: (row, { base }) => ({
      id: row.image_id,
      links: [{ rel: 'bookmark', href: `${base}/images/${row.image_id}` }],
    }),
  },
  { key: 'flavor', until: 46, value: (row, { base }) => flavorLink(flavorOf(row), base) },
  { key: 'flavor', from: 47, value: (row) => embeddedFlavor(flavorOf(row)) },
  { key: 'created', value: (row) => zulu(row.created_at) },
  { key: 'updated', value: (row) => zulu(row.updated_at) },
  { key: 'accessIPv4', value: (row) => row.access_ip_v4 },
  { key: 'accessIPv6', value: (row) => row.access_ip_v6 },
  { key: 'links', value: (row, { base }) => serverLinks(row.id, base) },
  { key: 'key_name', value: (row) => row.key_name },
  { key: 'config_drive', value: (row) => (row.config_drive === 1 ? 'True' : '') },
  { key: 'OS-DCF:diskConfig', value: (row) => row.disk_config },
  { key: 'OS-EXT-AZ:availability_zone', value: (row) => row.availability_zone ?? '' },
  { key: 'OS-EXT-STS:vm_state', value: (row) => row.vm_state },
  { key: 'OS-EXT-STS:task_state', value: (row) => row.task_state },
  { key: 'OS-EXT-STS:power_state', value: (row) => row.power_state },
  { key: 'OS-SRV-USG:launched_at', value: (row) => (row.launched_at === null ? null : micros(row.launched_at)) },
  { key: 'OS-SRV-USG:terminated_at', value: (row) => (row.terminated_at === null ? null : micros(row.terminated_at)) },
  { key: 'os-extended-volumes:volumes_attached', value: () => [] },
  { key: 'progress', value: (row) => (WITH_PROGRESS.has(shownStatus(row)) ? row.progress : undefined) },
  { key: 'fault', value: (row, { isAdmin }) => faultOf(row, isAdmin) },
  { key: 'OS-EXT-SRV-ATTR:host', who: 'admin', value: (row) => row.host },
  { key: 'OS-EXT-SRV-ATTR:hypervisor_hostname', who: 'admin', value: (row) => row.host },
  { key: 'OS-EXT-SRV-ATTR:instance_name', who: 'admin', value: (row) => `instance-${row.id.slice(0, 8)}` },
  { key: 'OS-EXT-SRV-ATTR:hostname', from: 3, until: 89, who: 'admin', value: (row) => row.hostname },
  { key: 'OS-EXT-SRV-ATTR:hostname', from: 90, value: (row) => row.hostname },
  { key: 'OS-EXT-SRV-ATTR:kernel_id', from: 3, who: 'admin', value: () => '' },
  { key: 'OS-EXT-SRV-ATTR:ramdisk_id', from: 3, who: 'admin', value: () => '' },
  { key: 'OS-EXT-SRV-ATTR:launch_index', from: 3, who: 'admin', value: (row) => row.launch_index },
  { key: 'OS-EXT-SRV-ATTR:reservation_id', from: 3, who: 'admin', value: (row) => row.reservation_id },
  { key: 'OS-EXT-SRV-ATTR:root_device_name', from: 3, who: 'admin', value: () => '/dev/vda' },
  { key: 'OS-EXT-SRV-ATTR:user_data', from: 3, who: 'admin', value: (row) => row.user_data },
  { key: 'locked', from: 9, value: (row) => row.locked === 1 },
  { key: 'host_status', from: 16, who: 'admin', value: (row) => (row.host === null ? '' : 'UP') },
  { key: 'description', from: 19, value: (row) => row.description },
  { key: 'tags', from: 26, value: (row) => JSON.parse(row.tags) },
  { key: 'trusted_image_certificates', from: 63, value: () => null },
  { key: 'server_groups', from: 71, only: 'single', value: (_, { groupId }) => [groupId ?? []].flat() },
  { key: 'locked_reason', from: 73, value: (row) => row.locked_reason },
  { key: 'addresses', value: (_, { networks }) => networks?.addresses },
  { key: 'security_groups', value: (_, { networks }) => namesOf(networks?.securityGroups) },
];

/** Keys, and keys of addresses, that only the full answer has: an update's answer lacks them below 2.75. */
const EXTENDED = /^(OS-EXT-|OS-SRV-USG|os-extended|config_drive|key_name|host_status|security_groups)/;

/** The full server. `single`: the answer is about this one server, not a list. */
export function serverView(
  row: ServerRow,
  viewer: Viewer,
  options: { readonly single: boolean; readonly afterUpdate?: boolean },
): Record<string, unknown> {
  const isShort = options.afterUpdate === true && viewer.version < 75;
  const view: Record<string, unknown> = {};
  for (const { key, from = 0, until = 9999, who, only, value } of SERVER_KEYS) {
    if (viewer.version < from || viewer.version > until) continue;
    if (who === 'admin' && !viewer.isAdmin) continue;
    if (only === 'single' && !options.single) continue;
    if (isShort && EXTENDED.test(key)) continue;
    const shown = value(row, viewer);
    if (shown !== undefined) view[key] = shown;
  }
  if (isShort && viewer.networks) view.addresses = shortAddresses(viewer.networks, (key) => !EXTENDED.test(key));
  return view;
}

export function serverSummary(row: Pick<ServerRow, 'id' | 'name'>, base: string): Record<string, unknown> {
  return { id: row.id, name: row.name, links: serverLinks(row.id, base) };
}

export function serverLinks(id: string, base: string) {
  return [
    { rel: 'self', href: `${base}/v2.1/servers/${id}` },
    { rel: 'bookmark', href: `${base}/servers/${id}` },
  ];
}

function shownStatus({ vm_state, task_state }: ServerRow): string {
  return statusOf(vm_state, task_state);
}

export function flavorOf(row: ServerRow): FlavorSnapshot {
  return JSON.parse(row.flavor) as FlavorSnapshot;
}

/** The same for servers of one project on one host, and nothing else can be read from it. */
function hostIdOf(row: ServerRow): string {
  return row.host === null
    ? ''
    : createHash('sha224')
        .update(row.project_id + row.host)
        .digest('hex');
}

function flavorLink({ id }: FlavorSnapshot, base: string) {
  return { id, links: flavorLinks(id, base).filter(({ rel }) => rel === 'bookmark') };
}

function embeddedFlavor(flavor: FlavorSnapshot) {
  return {
    vcpus: flavor.vcpus,
    ram: flavor.memoryMib,
    disk: flavor.diskGib,
    ephemeral: flavor.ephemeralGib,
    swap: flavor.swapMib,
    original_name: flavor.name,
    extra_specs: flavor.extraSpecs,
  };
}

/** Only these keys of each address. */
export function shortAddresses(
  { addresses }: ServerNetworks,
  isShown: (key: string) => boolean,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(addresses).map(([name, each]) => [
      name,
      each.map((address) => Object.fromEntries(Object.entries(address).filter(([key]) => isShown(key)))),
    ]),
  );
}

/** Left out where there are none. */
function namesOf(groups: readonly string[] = []): { name: string }[] | undefined {
  return groups.length === 0 ? undefined : groups.map((name) => ({ name }));
}

function faultOf(row: ServerRow, isAdmin: boolean): unknown {
  if (row.fault === null || (row.vm_state !== 'error' && row.vm_state !== 'deleted')) return undefined;
  const { code, message, created } = JSON.parse(row.fault) as Fault;
  return { code, message, created: zulu(created), ...(isAdmin && { details: message }) };
}
