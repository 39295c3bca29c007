/**
 * How long until a cloud answers: the process is spawned, says that it is ready, issues a token and answers the list of
 * servers. Once with an empty folder (database, credentials and keys are made) and once with a folder that has been used.
 * Compiled code is cached from an earlier start, as it is for every start but the first after an installation.
 */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { startCloud } from './lib/cloud.ts';
import { treeResidentBytes } from './lib/memory.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { durations, median, mib } from './lib/stats.ts';

const IDLE_MS = 5_000;
const GOAL_MS = 1_000;
const GOAL_MIB = 150;

export const start: Benchmark = {
  name: 'start',
  async run({ quick, scratch, say }) {
    const rounds = quick ? 3 : 7;
    const used = join(scratch, 'used');
    await startAndStop(used); // fills the folder and the cache of compiled code
    const fresh: number[] = [];
    const again: number[] = [];
    for (let round = 0; round < rounds; round++) {
      say(`start ${round + 1} of ${rounds}`);
      const empty = join(scratch, 'fresh');
      fresh.push(await startAndStop(empty));
      await rm(empty, { recursive: true });
      again.push(await startAndStop(used));
    }
    say('memory when idle');
    const cloud = await startCloud(used, { driver: 'qemu' });
    let idleBytes: number;
    try {
      await delay(quick ? IDLE_MS / 2 : IDLE_MS);
      idleBytes = treeResidentBytes(cloud.pid);
    } finally {
      await cloud.close();
    }
    const how = 'spawn of bin/micronova → its ready line → POST tokens → GET /servers/detail answered';
    const row = (what: string, all: readonly number[]): Row => ({
      what,
      ours: durations(all),
      goal: '< 1 s',
      met: median(all) < GOAL_MS,
      how,
    });
    return [
      row('start on an empty folder', fresh),
      row('start on a used folder', again),
      {
        what: 'memory when idle',
        ours: mib(idleBytes),
        goal: `< ${GOAL_MIB} MiB`,
        met: idleBytes < GOAL_MIB * 2 ** 20,
        how: `VmRSS of Node and its helper processes, ${IDLE_MS / 1000} s after the first answers`,
      },
    ];
  },
};

async function startAndStop(dir: string): Promise<number> {
  const begun = performance.now();
  const cloud = await startCloud(dir, { driver: 'qemu' });
  try {
    await cloud.request('GET', '/compute/v2.1/servers/detail');
    return performance.now() - begun;
  } finally {
    await cloud.close();
  }
}
