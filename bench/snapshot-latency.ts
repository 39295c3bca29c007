/**
 * What a guest feels of a live snapshot: the longest gap of a ticker and of a 4 KiB write with fsync inside it, in windows
 * of the same length that take turns: nothing else going on; a snapshot; and as much work by others on the host (the same
 * disk copied by qemu-img, hashed and made durable), which is the load that the snapshot is compared at. QEMU's event log says whether
 * the guest was ever stopped, and the trace how long the command took that fixes the moment of the copy.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { QmpClient } from '#services/compute/driver/qemu/qmp/client.ts';
import { output } from './lib/child.ts';
import type { BenchCloud } from './lib/cloud.ts';
import { type Gaps, type PreparedGuest, probe } from './lib/guest.ts';
import type { Row } from './lib/row.ts';
import { duration, median, most, timed } from './lib/stats.ts';

const GOAL = 2;
const PAUSE_POINT_MS = 10;
/** How long a window runs before the load in it begins. */
const LEAD_MS = 300;

export interface LatencyOptions {
  readonly rounds: number;
  readonly scratch: string;
  readonly say: (text: string) => void;
}

/** Rows of the guest's view. The pause point's row is made by `pausePoint`, when the logs are complete. */
export async function snapshotLatency(
  cloud: BenchCloud,
  guest: PreparedGuest,
  { rounds, scratch, say }: LatencyOptions,
): Promise<Row[]> {
  const events: string[] = [];
  const qmp = await QmpClient.connect(join(guest.dir, 'qmp-debug.sock'), { timeoutMs: 10_000 });
  qmp.onEvent(({ event }) => events.push(event));
  const copy = join(scratch, 'copy.qcow2');
  const load = () => copyHashAndSync(join(guest.dir, 'disk.qcow2'), copy);
  const all = { quiet: [] as Gaps[], snapshot: [] as Gaps[], load: [] as Gaps[] };
  try {
    say('how long a snapshot takes');
    const longest = Math.max(await timed(() => snapshotOnce(cloud, guest.id)), await timed(load));
    let seconds = Math.ceil((longest * 1.3 + LEAD_MS) / 1000) + 1;
    while (all.load.length < rounds) {
      say(`windows of ${seconds} s, round ${all.load.length + 1} of ${rounds}`);
      const quiet = await window(guest, seconds, async () => {});
      const snapshot = await window(guest, seconds, () => snapshotOnce(cloud, guest.id));
      const loaded = await window(guest, seconds, load);
      if (!quiet || !snapshot || !loaded) {
        seconds = Math.ceil(seconds * 1.5); // the machine has become slower: what is measured must end in its window
        continue;
      }
      all.quiet.push(quiet);
      all.snapshot.push(snapshot);
      all.load.push(loaded);
    }
  } finally {
    qmp.close();
    await rm(copy, { force: true });
  }
  const isRecorded = events.includes('JOB_STATUS_CHANGE');
  const stops = events.filter((event) => event === 'STOP').length;
  return [
    ...gapRows('longest gap of a 5 ms ticker', all, rounds, ({ tickMs }) => tickMs),
    ...gapRows('longest 4 KiB write with fsync', all, rounds, ({ fsyncMs }) => fsyncMs),
    {
      what: 'STOP events during live snapshots',
      ours: `${stops} in ${rounds + 1} snapshots`,
      goal: '0',
      met: isRecorded && stops === 0,
      how: `all events of QEMU's second QMP socket are recorded (${events.length}, those of the backup job among them: ${isRecorded ? 'yes' : 'no'})`,
    },
  ];
}

function gapRows(
  what: string,
  all: Readonly<Record<'quiet' | 'snapshot' | 'load', readonly Gaps[]>>,
  rounds: number,
  figure: (gaps: Gaps) => number,
): Row[] {
  const summary = (gaps: readonly Gaps[]) =>
    `${duration(median(gaps.map(figure)))} (worst ${duration(most(gaps.map(figure)))})`;
  const ratioTo = (gaps: readonly Gaps[]) => median(all.snapshot.map(figure)) / median(gaps.map(figure));
  const how = `inside the guest (software clock of the guest, busybox), the longest of a window, median of ${rounds} windows each in turns`;
  return [
    {
      what: `${what}, snapshot · same host load`,
      ours: summary(all.snapshot),
      baseline: summary(all.load),
      ratio: ratioTo(all.load),
      goal: `≤ ${GOAL}`,
      met: ratioTo(all.load) <= GOAL,
      how: `${how}; baseline: the same guest while qemu-img copies the same disk and md5sum and sha512sum read the copy and sync makes it durable`,
    },
    {
      what: `${what}, snapshot · quiet host`,
      ours: summary(all.snapshot),
      baseline: summary(all.quiet),
      ratio: ratioTo(all.quiet),
      how: `${how}; baseline: the same guest and nothing else`,
    },
  ];
}

/** The probes' figures while `work` runs, or null when it did not end within the window. */
async function window(guest: PreparedGuest, seconds: number, work: () => Promise<unknown>): Promise<Gaps | null> {
  await output('sync', []);
  let isOpen = true;
  const probing = probe(guest, seconds).finally(() => {
    isOpen = false;
  });
  await delay(LEAD_MS);
  await work();
  const endedInTime = isOpen;
  const gaps = await probing;
  return endedInTime ? gaps : null;
}

async function snapshotOnce(cloud: BenchCloud, serverId: string): Promise<void> {
  const image = await cloud.snapshot(serverId, 'bench');
  await cloud.untilImageActive(image);
  await cloud.untilStatus(serverId, 'ACTIVE');
  await cloud.removeImage(image);
}

async function copyHashAndSync(disk: string, copy: string): Promise<void> {
  await output('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'qcow2', disk, copy]);
  await Promise.all([output('md5sum', [copy]), output('sha512sum', [copy]), output('sync', [copy])]);
  await rm(copy);
}

/** The row of the pause point, from the trace of a cloud that has been closed. */
export async function pausePoint(cloudDir: string, what: string): Promise<Row> {
  const log = await readFile(join(cloudDir, 'logs/nova-compute.log'), 'utf8');
  const all = log
    .split('\n')
    .filter((line) => line.includes('"blockdev-backup"'))
    .map((line) => (JSON.parse(line) as { hop: { ms: number } }).hop.ms);
  return {
    what: `pause point, ${what}`,
    ours: `${duration(median(all))} (worst ${duration(most(all))}, n=${all.length})`,
    goal: `≤ ${PAUSE_POINT_MS} ms`,
    met: most(all) <= PAUSE_POINT_MS,
    how: 'duration of the QMP command blockdev-backup in the trace (logs/nova-compute.log); the worst counts',
  };
}
