/**
 * The host is what the flavor's extra specs ask for: `capabilities:hypervisor_type`, `capabilities:cpu_info:arch`, sizes and
 * use. Without a scope they ask the same. Source: Nova's ComputeCapabilitiesFilter; as there, what no host has refuses all.
 */
import type { HostState } from '../host-state.ts';
import { freeOf } from '../host-state.ts';
import { matchesSpec } from '../spec-match.ts';
import type { Filter } from './filter.ts';

type Capability = (host: HostState) => string | number;

/** Nova's names. */
const CAPABILITIES: Readonly<Record<string, Capability>> = {
  host: ({ name }) => name,
  hypervisor_hostname: ({ name }) => name,
  hypervisor_type: ({ hypervisorType }) => hypervisorType,
  hypervisor_version: ({ hypervisorVersion }) => hypervisorVersion,
  'cpu_info:arch': ({ cpuArch }) => cpuArch,
  'cpu_info:model': ({ cpuModel }) => cpuModel,
  vcpus_total: ({ bookable }) => bookable.vcpus,
  vcpus_used: ({ used }) => used.vcpus,
  total_usable_ram_mb: ({ bookable }) => bookable.memoryMib,
  free_ram_mb: (host) => freeOf(host).memoryMib,
  total_usable_disk_gb: ({ bookable }) => bookable.diskGib,
  free_disk_mb: (host) => freeOf(host).diskGib * 1024,
  num_io_ops: ({ openOperations }) => openOperations,
};

export const capabilities: Filter = {
  name: 'capabilities',
  passes: (host, { specs }) =>
    specs.capabilities.every(({ key, value }) => {
      const capability = Object.hasOwn(CAPABILITIES, key) ? CAPABILITIES[key] : undefined;
      return capability !== undefined && matchesSpec(String(capability(host)), value);
    }),
  explain: ({ specs }) => `asked ${specs.capabilities.map(({ key, value }) => `${key} ${value}`).join(', ')}`,
};
