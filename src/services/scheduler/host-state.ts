/** A host as the scheduler weighs it, and what is asked of it. */
import { type AggregateMetadata, zoneOf } from '#db/repo/aggregates.ts';
import type { HostRow, ServerGroupRow } from '#db/tables/compute.ts';
import type { WantedSpecs } from './wanted-specs.ts';

export interface Amounts {
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly diskGib: number;
}

export interface HostState {
  readonly name: string;
  readonly availabilityZone: string;
  readonly enabled: boolean;
  /** When its agent was last heard of, epoch ms; 0 where an operator says that it is dead. */
  readonly seenAt: number;
  readonly cpuArch: string;
  readonly cpuModel: string;
  readonly hypervisorType: string;
  readonly hypervisorVersion: number;
  /** The metadata of the aggregates that it is in. */
  readonly aggregates: readonly AggregateMetadata[];
  /** What can be booked: capacity times the allocation ratios, less what is kept for the host itself. */
  readonly bookable: Amounts;
  readonly used: Amounts;
  readonly generation: number;
  /** Operations under way for servers that have room there. A hint, as good as the last look. */
  readonly openOperations: number;
  /** Guests that could not be made there of late. A hint as well. */
  readonly failedBuilds: number;
}

/** What is known of a host besides its row. */
export type Surroundings = Pick<HostState, 'used' | 'aggregates' | 'openOperations' | 'failedBuilds'>;

/** What a server's group asks of the host. */
export interface GroupPlacement {
  readonly policy: ServerGroupRow['policy'];
  /** For `anti-affinity`. */
  readonly maxPerHost: number;
  /** The other servers of the group that have room somewhere. */
  readonly membersByHost: ReadonlyMap<string, number>;
}

export interface PlacementRequest {
  readonly resources: Amounts;
  readonly availabilityZone: string | null;
  readonly host: string | null;
  /** The host that it shall leave. */
  readonly leaving: string | null;
  readonly imageProperties: Readonly<Record<string, string>>;
  /** What its flavor asks of the host. */
  readonly specs: WantedSpecs;
  /** The hosts of servers that it shall not be with; null: of none. */
  readonly apartFrom: ReadonlySet<string> | null;
  /** The hosts of servers one of which it shall be with; null: wherever. */
  readonly togetherWith: ReadonlySet<string> | null;
  /** Null for a server of no group. */
  readonly group: GroupPlacement | null;
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

export function hostState(row: HostRow, surroundings: Surroundings, ratios: AllocationRatios): HostState {
  return {
    name: row.name,
    availabilityZone: zoneOf(row, surroundings.aggregates),
    enabled: row.enabled === 1,
    seenAt: row.forced_down === 1 ? 0 : row.seen_at,
    cpuArch: row.cpu_arch,
    cpuModel: row.cpu_model,
    hypervisorType: row.hypervisor_type,
    hypervisorVersion: row.hypervisor_version,
    bookable: {
      vcpus: row.vcpus * ratios.vcpus,
      memoryMib: Math.max(0, (row.memory_mib - ratios.reservedMemoryMib) * ratios.memory),
      diskGib: row.disk_gib * ratios.disk,
    },
    generation: row.generation,
    ...surroundings,
  };
}

export function freeOf(host: HostState): Amounts {
  return {
    vcpus: host.bookable.vcpus - host.used.vcpus,
    memoryMib: host.bookable.memoryMib - host.used.memoryMib,
    diskGib: host.bookable.diskGib - host.used.diskGib,
  };
}

/** The part of what can be booked that is free, 0 to 1. */
export function freeShare(host: HostState, key: keyof Amounts): number {
  const whole = host.bookable[key];
  return whole > 0 ? freeOf(host)[key] / whole : 0;
}
