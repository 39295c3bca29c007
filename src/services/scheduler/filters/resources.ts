/** There is room: memory, virtual CPUs, disk. */
import { type Amounts, freeOf } from '../host-state.ts';
import type { Filter } from './filter.ts';

const room = (name: string, key: keyof Amounts, unit: string): Filter => ({
  name,
  passes: (host, { resources }) => freeOf(host)[key] >= resources[key],
  explain: ({ resources }, refused) => {
    const best = Math.max(...refused.map((host) => freeOf(host)[key]));
    return `asked ${resources[key]}${unit}, best free ${Math.max(0, Math.floor(best))}`;
  },
});

export const ram = room('ram', 'memoryMib', ' MiB');
export const vcpus = room('vcpus', 'vcpus', '');
export const disk = room('disk', 'diskGib', ' GiB');
