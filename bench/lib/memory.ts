/** Memory of processes, from `/proc`. */
import { readdirSync, readFileSync } from 'node:fs';

/** Resident bytes of one process; 0 when it is gone. */
export function residentBytes(pid: number): number {
  try {
    const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'));
    return Number(line?.[1] ?? 0) * 1024;
  } catch {
    return 0;
  }
}

/** The process and all that descend from it now. */
export function processTree(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It ended while we looked.
    }
  }
  const tree = [root];
  for (const pid of tree) for (const [child, parent] of parents) if (parent === pid) tree.push(child);
  return tree;
}

/** Resident bytes of a process and its descendants together; pages they share count for each. */
export function treeResidentBytes(root: number): number {
  return processTree(root).reduce((sum, pid) => sum + residentBytes(pid), 0);
}

/** Follows a figure until told to stop, and answers its largest value. */
export function watchMost(read: () => number, everyMs: number): () => number {
  let largest = read();
  const timer = setInterval(() => {
    largest = Math.max(largest, read());
  }, everyMs);
  return () => {
    clearInterval(timer);
    return Math.max(largest, read());
  };
}
