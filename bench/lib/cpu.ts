/** What processors were busy with, from `/proc`: this process makes the load, what it started does the work. */
import { readFileSync } from 'node:fs';
import { processTree } from './memory.ts';

const TICKS_PER_SECOND = 100;
const NAMES: Readonly<Record<string, string>> = { postgres: 'PostgreSQL', 'beam.smp': 'RabbitMQ', wrk: 'load' };

/** Seconds that were used since, by what used them. */
export type CpuUse = () => Readonly<Record<string, number>>;

/** Begins to count. A process that has ended when it is asked does not count. */
export function watchCpu(): CpuUse {
  const before = new Map(processTree(process.pid).map((pid) => [pid, used(pid)?.seconds ?? 0]));
  return () => {
    const sums: Record<string, number> = {};
    for (const pid of processTree(process.pid)) {
      const now = used(pid);
      if (!now) continue;
      const who = pid === process.pid ? 'load' : (NAMES[now.program] ?? 'Micronova');
      sums[who] = (sums[who] ?? 0) + now.seconds - (before.get(pid) ?? 0);
    }
    return sums;
  };
}

function used(pid: number): { readonly program: string; readonly seconds: number } | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    const words = stat.slice(end + 2).split(' ');
    const seconds = (Number(words[11]) + Number(words[12])) / TICKS_PER_SECOND;
    return { program: stat.slice(stat.indexOf('(') + 1, end), seconds };
  } catch {
    return null; // it ended while we looked
  }
}
