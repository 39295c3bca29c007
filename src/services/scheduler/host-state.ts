/** A host as the scheduler weighs it, and what is asked of it. */
import type { HostRow } from '#db/tables/compute.ts';

export interface Amounts {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
}

export interface HostState {
  readonly name: string;
  readonly availabilityZone: string;
  readonly enabled: boolean;
  /** When its agent was last heard of, epoch ms. */
  readonly seenAt: number;
  readonly cpuArch: string;
  readonly hypervisorType: string;
  /** What can be booked: capacity times the allocation ratios, less what is kept for the host itself. */
  readonly bookable: Amounts;
  readonly used: Amounts;
  readonly generation: number;
}

export interface PlacementRequest {
  readonly resources: Amounts;
  readonly availabilityZone: string | null;
  readonly host: string | null;
  readonly imageProperties: Readonly<Record<string, string>>;
}

/** How far a host's resources may be promised more than once. Nova's older defaults; memory and disk never are. */
export interface AllocationRatios {
  readonly vcpus: number;
  readonly memory: number;
  readonly disk: number;
  /** Left to the host itself. */
  readonly reservedMemoryMib: number;
}

export const DEFAULT_RATIOS: AllocationRatios = { vcpus: 16, memory: 1, disk: 1, reservedMemoryMib: 512 };

export function hostState(row: HostRow, used: Amounts, ratios: AllocationRatios): HostState {
  return {
    name: row.name,
    availabilityZone: row.availability_zone,
    enabled: row.enabled === 1,
    seenAt: row.seen_at,
    cpuArch: row.cpu_arch,
    hypervisorType: row.hypervisor_type,
    bookable: {
      vcpus: row.vcpus * ratios.vcpus,
      memoryMib: Math.max(0, (row.memory_mib - ratios.reservedMemoryMib) * ratios.memory),
      diskGib: row.disk_gib * ratios.disk,
    },
    used,
    generation: row.generation,
  };
}

export function freeOf(host: HostState): Amounts {
  return {
    vcpus: host.bookable.vcpus - host.used.vcpus,
    memoryMib: host.bookable.memoryMib - host.used.memoryMib,
    diskGib: host.bookable.diskGib - host.used.diskGib,
  };
}
