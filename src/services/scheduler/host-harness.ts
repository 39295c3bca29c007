/** For tests: a host as the scheduler sees it, and a request that any host would do for. */
import type { HostState, PlacementRequest } from './host-state.ts';
import { NO_SPECS } from './wanted-specs.ts';

export const NOW = 1_000_000;

export function hostNamed(name: string, differences: Partial<HostState> = {}): HostState {
  return {
    name,
    availabilityZone: 'nova',
    enabled: true,
    seenAt: NOW,
    cpuArch: 'x86_64',
    cpuModel: 'qemu64',
    hypervisorType: 'QEMU',
    hypervisorVersion: 7_002_000,
    aggregates: [],
    bookable: { vcpus: 16, memoryMib: 8192, diskGib: 100 },
    used: { vcpus: 0, memoryMib: 0, diskGib: 0 },
    generation: 0,
    openOperations: 0,
    failedBuilds: 0,
    ...differences,
  };
}

export const ANYWHERE: PlacementRequest = {
  resources: { vcpus: 1, memoryMib: 128, diskGib: 1 },
  availabilityZone: null,
  host: null,
  leaving: null,
  imageProperties: {},
  specs: NO_SPECS,
  apartFrom: null,
  togetherWith: null,
  group: null,
};
