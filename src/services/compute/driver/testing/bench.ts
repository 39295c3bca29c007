/**
 * What the parts of the conformance suite have in common: a folder and drivers for each test, and the ways of looking at what
 * they did.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ByteProgress, Driver, GuestEvent, GuestId, GuestSpec, GuestState, JobControl } from '../driver.ts';
import type { ChildDeed, ChildStage } from './child.ts';

/** How a driver presents itself to the suite. */
export interface Subject<D extends Driver = Driver> {
  /** Where the factory is, for processes of their own. */
  readonly module: URL;
  /** Name of the factory in `module`: `(options: { instancesDir }) => Driver`. */
  readonly factory: string;
  open(instancesDir: string): D;
  /** A guest that this driver can run, without an agent; the disk must be larger than the base. */
  spec(id: GuestId): GuestSpec;
  /** Makes a running guest die by itself. */
  crash(driver: D, instancesDir: string, id: GuestId): Promise<void>;
  /** Does to a guest what a restart of the host does. No driver is open then. */
  loseWithHost(instancesDir: string, id: GuestId): Promise<void>;
  /** Resolves when a guest that was started can hear the power button. */
  booted(driver: D, id: GuestId): Promise<void>;
  /** Makes `stop` and `reboot` of the running guest wait, until their signal ends that. */
  deafen(driver: D, id: GuestId): void;
}

/** Generous: a host may be busy, and the suite fails only when something never happens. */
const PATIENCE_MS = 120_000;
/** The guest of all tests. */
export const ID = '7b1f7d5e-7a55-4b6f-9f5c-0c1e5a3d0001';

/** Set up anew for each test. */
export interface Bench<D extends Driver = Driver> {
  readonly subject: Subject<D>;
  /** Holds everything a test makes. */
  readonly root: string;
  readonly instancesDir: string;
  /** The guest's folder. */
  readonly dir: string;
  readonly spec: GuestSpec;
  open(): D;
  /** A driver of another host, with a folder of its own. */
  openElsewhere(): D;
  readonly elsewhere: string;
  created(): Promise<D>;
  running(): Promise<D>;
  paused(): Promise<D>;
  suspended(): Promise<D>;
  crashed(): Promise<D>;
}

/** Makes the bench; to be called in a `describe`. */
export function benchOf<D extends Driver>(setup: () => Subject<D> | Promise<Subject<D>>): Bench<D> {
  let subject: Subject<D>;
  let root: string;
  let instancesDir: string;
  let drivers: D[] = [];
  let driversElsewhere: D[] = [];

  beforeEach(async () => {
    subject = await setup();
    root = await mkdtemp(join(tmpdir(), 'micronova-driver-'));
    instancesDir = join(root, 'instances');
    await mkdir(instancesDir);
    await mkdir(bench.elsewhere);
  });

  afterEach(async () => {
    try {
      await (drivers.at(-1) ?? bench.open()).close({ stopGuests: true });
      await driversElsewhere.at(-1)?.close({ stopGuests: true });
      for (const driver of [...drivers, ...driversElsewhere]) await driver.close({ stopGuests: false });
      await until(async () => (await processesIn(root)).length === 0, 'all processes of the test have ended');
    } finally {
      drivers = [];
      driversElsewhere = [];
      for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
      await rm(root, { recursive: true, force: true });
    }
  });

  const bench: Bench<D> = {
    get subject() {
      return subject;
    },
    get root() {
      return root;
    },
    get instancesDir() {
      return instancesDir;
    },
    get dir() {
      return join(instancesDir, ID);
    },
    get spec() {
      return subject.spec(ID);
    },
    open() {
      const driver = subject.open(instancesDir);
      drivers.push(driver);
      return driver;
    },
    get elsewhere() {
      return join(root, 'elsewhere');
    },
    openElsewhere() {
      const driver = subject.open(bench.elsewhere);
      driversElsewhere.push(driver);
      return driver;
    },
    async created() {
      const driver = bench.open();
      await driver.create(bench.spec);
      return driver;
    },
    async running() {
      const driver = await bench.created();
      await driver.start(ID);
      return driver;
    },
    async paused() {
      const driver = await bench.running();
      await driver.pause(ID);
      return driver;
    },
    async suspended() {
      const driver = await bench.running();
      await driver.suspend(ID, watch().control);
      return driver;
    },
    async crashed() {
      const driver = await bench.running();
      const events = eventsOf(driver);
      await subject.crash(driver, instancesDir, ID);
      await until(async () => events.length > 0, 'the crash is told');
      return driver;
    },
  };
  return bench;
}

/** What the guest does. */
export async function stateOf(driver: Driver): Promise<GuestState> {
  return (await driver.inspect(ID)).state;
}

/** Collects the events from now on. */
export function eventsOf(driver: Driver): GuestEvent[] {
  const events: GuestEvent[] = [];
  driver.onEvent((event) => events.push(event));
  return events;
}

/** Runs `child.ts` up to a stage; the returned function kills it with SIGKILL and waits for its end. */
export async function childAt(
  subject: Pick<Subject, 'module' | 'factory'>,
  instancesDir: string,
  spec: GuestSpec,
  stage: ChildStage,
  deed?: ChildDeed,
): Promise<() => Promise<void>> {
  const program = fileURLToPath(new URL('./child.ts', import.meta.url));
  const words = [
    program,
    subject.module.href,
    subject.factory,
    instancesDir,
    JSON.stringify(spec),
    JSON.stringify(deed ?? null),
  ];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  for await (const line of createInterface({ input: child.stdout })) {
    if (line !== stage) continue;
    return async () => {
      child.kill('SIGKILL');
      await exited;
    };
  }
  throw new Error(`The child process ended before it had ${stage} the guest`);
}

/** Polls for something that has no event in the port. */
export async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `never happened: ${what}`);
    await delay(10);
  }
}

/** Pids of all processes whose working folder is `folder` or inside it. */
export async function processesIn(folder: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const inside = await Promise.all(
    pids.map(async (pid) => {
      // Gone meanwhile, a zombie, or somebody else's: none of ours.
      const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
      return cwd === folder || cwd.startsWith(`${folder}/`);
    }),
  );
  return pids.filter((_, index) => inside[index]);
}

/** A control that never aborts, and what it was told. */
export function watch(): { control: JobControl; seen: ByteProgress[] } {
  const seen: ByteProgress[] = [];
  return { control: { signal: new AbortController().signal, onProgress: (progress) => seen.push(progress) }, seen };
}

/** Progress that a person could follow. */
export function assertProgress(seen: readonly ByteProgress[]): void {
  const last = seen.at(-1);
  assert.ok(last && last.total > 0 && last.done === last.total, 'progress ends at its total');
  for (const [index, { done }] of seen.entries())
    assert.ok(done >= (seen[index - 1]?.done ?? 0), 'progress never falls');
}

/** The files of a folder, with what changes when one is replaced. */
export async function snapshotOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const files = await Promise.all(names.map(async (name) => ({ name, ...(await stat(join(folder, name))) })));
  return Object.fromEntries(files.map(({ name, size, ino }) => [name, `${size} bytes, inode ${ino}`]));
}
