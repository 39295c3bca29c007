/** A hypervisor as each microversion shows it: a host, and what is used of it by the sum of the allocations. */
import { type Load, NO_LOAD } from '#db/repo/host-servers.ts';
import { NO_USAGE, type Usage } from '#db/repo/hosts.ts';
import type { HostRow } from '#db/tables/compute.ts';
import { stateOf, statusOf } from '../services/view.ts';

interface Viewer {
  readonly version: number;
  readonly now: number;
}

/** What is known of a host besides its row. */
export interface Occupation {
  readonly usage: Usage;
  readonly load: Load;
}

/** What the API calls it: a number up to 2.52, then a UUID. */
export function idOf(host: HostRow, version: number): number | string {
  return version >= 53 ? host.id : host.number;
}

export function hypervisorSummary(host: HostRow, { version, now }: Viewer): Record<string, unknown> {
  return {
    id: idOf(host, version),
    hypervisor_hostname: host.name,
    state: stateOf(host, now),
    status: statusOf(host),
  };
}

export function hypervisorView(host: HostRow, occupation: Occupation, viewer: Viewer): Record<string, unknown> {
  const { version } = viewer;
  return {
    ...hypervisorSummary(host, viewer),
    hypervisor_type: host.hypervisor_type,
    hypervisor_version: host.hypervisor_version,
    host_ip: host.address === '' ? null : host.address,
    service: { host: host.name, id: idOf(host, version), disabled_reason: host.disabled_reason },
    ...(version <= 87 && { cpu_info: cpuInfo(host, version), ...capacityView(host, occupation) }),
    ...(version >= 88 && { uptime: stateOf(host, viewer.now) === 'up' ? uptimeOf(host, viewer.now) : null }),
  };
}

/** The beginning of what `uptime` prints; of users and load nothing is known. Null where the agent did not say. */
export function uptimeOf({ booted_at: since }: HostRow, now: number): string | null {
  if (since === null) return null;
  const minutes = Math.max(0, Math.floor((now - since) / 60_000));
  const days = Math.floor(minutes / 1440);
  const clock = `${Math.floor((minutes % 1440) / 60)}:${String(minutes % 60).padStart(2, '0')}`;
  return ` ${new Date(now).toISOString().slice(11, 19)} up ${days > 0 ? `${days} day${days > 1 ? 's' : ''}, ` : ''}${clock}`;
}

/** JSON text until 2.27. */
function cpuInfo(host: HostRow, version: number): unknown {
  const info = { arch: host.cpu_arch, model: host.cpu_model };
  return version >= 28 ? info : JSON.stringify(info);
}

const NOTHING = { vcpus: 0, memory_mib: 0, disk_gib: 0 };

function capacityView(host: typeof NOTHING, { usage, load }: Occupation) {
  return {
    vcpus: host.vcpus,
    vcpus_used: usage.vcpus,
    memory_mb: host.memory_mib,
    memory_mb_used: usage.memoryMib,
    free_ram_mb: host.memory_mib - usage.memoryMib,
    local_gb: host.disk_gib,
    local_gb_used: usage.diskGib,
    free_disk_gb: host.disk_gib - usage.diskGib,
    disk_available_least: host.disk_gib - usage.diskGib,
    running_vms: load.servers,
    current_workload: load.busy,
  };
}

/** The sums over hosts. */
export function statisticsView(hosts: readonly { readonly host: HostRow; readonly occupation: Occupation }[]) {
  const sums: Record<string, number> = {
    count: hosts.length,
    ...capacityView(NOTHING, { usage: NO_USAGE, load: NO_LOAD }),
  };
  for (const { host, occupation } of hosts)
    for (const [key, value] of Object.entries(capacityView(host, occupation))) sums[key] = (sums[key] ?? 0) + value;
  return sums;
}
