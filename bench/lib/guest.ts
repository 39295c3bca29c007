/**
 * A real guest with data on its disk, and the probes that run inside it.
 *
 * The probes are shell functions, since the guest has busybox and no compiler. Time is read from `/proc/timer_list`, which
 * has nanoseconds and costs no process; a tick waits in `read -t`, which costs none either.
 */
import { join } from 'node:path';
import { openSerial, type SerialConsole } from '../../src/cli/serial-console.ts';
import type { BenchCloud } from './cloud.ts';

export interface PreparedGuest {
  readonly id: string;
  /** Its folder on the host. */
  readonly dir: string;
  readonly console: SerialConsole;
}

/** What the probes saw in one window: the longest gap between ticks, the longest 4 KiB write with fsync, in ms. */
export interface Gaps {
  readonly tickMs: number;
  readonly fsyncMs: number;
  readonly ticks: number;
  readonly fsyncs: number;
}

/** Every 5 ms a tick, and beside it every 5 ms a 4 KiB write with fsync, for `$1` ns; prints the longest of each. */
const PROBES = [
  'mkfifo /run/never; exec 7<>/run/never',
  'now() { { read a; read a; read a a T a; } < /proc/timer_list; }',
  'rest() { read -t 0.005 a <&7; }',
  'longest() { D=$((T-P)); [ $D -gt $M ] && M=$D; N=$((N+1)); }',
  'ticks() { N=0; M=0; now; while P=$T; [ $T -lt $E ]; do rest; now; longest; done; echo "tick $M $N"; }',
  'write() { dd if=/dev/zero of=/var/probe bs=4k count=1 conv=notrunc,fsync 2>/dev/null; }',
  'syncs() { N=0; M=0; now; while [ $T -lt $E ]; do rest; now; P=$T; write; now; longest; done; echo "sync $M $N"; }',
  'window() { ( now; E=$((T+$1)); ticks & syncs & wait ); }',
];
const FILL_TIMEOUT_MS = 300_000;
const WINDOW_SLACK_MS = 60_000;

/** Launches a guest whose root disk has `diskGib`, and puts `dataMib` of random data on it. */
export async function prepareGuest(
  cloud: BenchCloud,
  imageId: string,
  { diskGib, dataMib }: { readonly diskGib: number; readonly dataMib: number },
): Promise<PreparedGuest> {
  const flavor = { name: `bench-${diskGib}`, ram: 256, vcpus: 1, disk: diskGib };
  const { body } = await cloud.request<{ flavor: { id: string } }>('POST', '/compute/v2.1/flavors', { flavor });
  const { id, adminPass = '' } = await cloud.launchActive(imageId, { flavor: body.flavor.id });
  const dir = join(cloud.dir, 'instances', id);
  const console = await openSerial(join(dir, 'serial.sock'));
  await console.login(adminPass);
  const inGuest = async (command: string, timeoutMs: number) => {
    const { code, output } = await console.run(command, { timeoutMs });
    if (code !== 0) throw new Error(`in the guest: ${command}: ${output}`);
  };
  if (dataMib > 0) await inGuest(`dd if=/dev/urandom of=/data bs=1M count=${dataMib} 2>&1 && sync`, FILL_TIMEOUT_MS);
  for (const line of PROBES) await inGuest(line, WINDOW_SLACK_MS);
  return { id, dir, console };
}

/** Runs the probes for `seconds`. */
export async function probe({ console }: PreparedGuest, seconds: number): Promise<Gaps> {
  const timeoutMs = seconds * 1000 + WINDOW_SLACK_MS;
  const { output } = await console.run(`window ${seconds}000000000`, { timeoutMs });
  const figures = (name: string) => {
    const [, ns, count] = new RegExp(`${name} (\\d+) (\\d+)`).exec(output) ?? [];
    if (ns === undefined) throw new Error(`the guest's probe said: ${output}`);
    return { ms: Number(ns) / 1e6, count: Number(count) };
  };
  const [tick, sync] = [figures('tick'), figures('sync')];
  return { tickMs: tick.ms, fsyncMs: sync.ms, ticks: tick.count, fsyncs: sync.count };
}
