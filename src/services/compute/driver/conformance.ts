/**
 * What every driver must do, checked by its effects: each method once and twice, from every state, across the death of the
 * process that used it. A new driver is right when this passes, and the agent may rely on nothing else.
 */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { ByteProgress, Driver, GuestEvent, GuestId, GuestSpec, GuestState, JobControl } from './driver.ts';
import { readQcow2Header } from './qcow2.ts';

/** How a driver presents itself to the suite. */
export interface Subject<D extends Driver = Driver> {
  /** Where the factory is, for processes of their own. */
  readonly module: URL;
  /** Name of the factory in `module`: `(options: { instancesDir }) => Driver`. */
  readonly factory: string;
  open(instancesDir: string): D;
  /** A guest that this driver can run; the disk must be larger than the base. */
  spec(id: GuestId): GuestSpec;
  /** Makes a running guest die by itself. */
  crash(driver: D, instancesDir: string, id: GuestId): Promise<void>;
}

/** Lines of `conformance-child.ts`, in their order. */
export type ChildStage = 'ready' | 'created' | 'started';

/** Generous: a host may be busy, and the suite fails only when something never happens. */
const PATIENCE_MS = 30_000;
const ID = '7b1f7d5e-7a55-4b6f-9f5c-0c1e5a3d0001';

/** Registers the suite with node:test. `setup` is called before each test. */
export function driverConformance<D extends Driver>(name: string, setup: () => Subject<D> | Promise<Subject<D>>): void {
  describe(`${name} driver: conformance`, { concurrency: false }, () => {
    let subject: Subject<D>;
    let root: string;
    let instancesDir: string;
    let drivers: D[] = [];

    const open = (): D => {
      const driver = subject.open(instancesDir);
      drivers.push(driver);
      return driver;
    };
    const stateOf = async (driver: D): Promise<GuestState> => (await driver.inspect(ID)).state;
    const running = async (): Promise<D> => {
      const driver = open();
      await driver.create(subject.spec(ID));
      await driver.start(ID);
      return driver;
    };

    beforeEach(async () => {
      subject = await setup();
      root = await mkdtemp(join(tmpdir(), 'micronova-driver-'));
      instancesDir = join(root, 'instances');
      await mkdir(instancesDir);
    });

    afterEach(async () => {
      try {
        await (drivers.at(-1) ?? open()).close({ stopGuests: true });
        for (const driver of drivers) await driver.close({ stopGuests: false });
        await until(async () => (await processesIn(root)).length === 0, 'all processes of the test have ended');
      } finally {
        drivers = [];
        for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
        await rm(root, { recursive: true, force: true });
      }
    });

    test('tells what it can do and what the host has', async () => {
      const driver = open();
      const [capabilities, inventory] = await Promise.all([driver.capabilities(), driver.inventory()]);
      assert.ok(['kvm', 'tcg', 'none'].includes(capabilities.accelerator));
      assert.ok(capabilities.maxMemoryMib > 0);
      for (const amount of [inventory.vcpus, inventory.memoryMib, inventory.diskGib]) assert.ok(amount > 0);
      assert.ok(inventory.hypervisorVersion >= 1_000_000, 'major * 1000000 + minor * 1000 + micro');
    });

    test('an absent guest: stop and destroy do nothing, start and backup refuse', async () => {
      const driver = open();
      assert.equal(await stateOf(driver), 'absent');
      await driver.stop(ID, 0);
      await driver.destroy(ID);
      assert.equal(await driver.consoleOutput(ID, 100), '');
      await assert.rejects(driver.start(ID), { code: 'guest_not_found' });
      await assert.rejects(driver.backupDisk(ID, join(root, 'out'), watch().control), { code: 'guest_not_found' });
      assert.deepEqual(await driver.recover(), []);
      assert.deepEqual(await readdir(instancesDir), []);
    });

    test('an id that leaves the instances folder is refused', async () => {
      const driver = open();
      await assert.rejects(driver.create(subject.spec('../outside')), { code: 'bad_spec' });
      await assert.rejects(driver.destroy('..'), { code: 'bad_spec' });
    });

    test('create twice, also at once: a stopped guest, and the second changes nothing', async () => {
      const driver = open();
      await Promise.all([driver.create(subject.spec(ID)), driver.create(subject.spec(ID))]);
      const before = await snapshotOf(join(instancesDir, ID));
      await driver.create(subject.spec(ID));
      assert.deepEqual(await snapshotOf(join(instancesDir, ID)), before);
      assert.equal(await stateOf(driver), 'stopped');
      assert.equal(await driver.consoleOutput(ID, 100), '');
      assert.deepEqual(await driver.recover(), [{ id: ID, state: 'stopped' }]);
    });

    test('start and stop, each twice, and again', async () => {
      const driver = open();
      await driver.create(subject.spec(ID));
      for (let round = 0; round < 2; round += 1) {
        await Promise.all([driver.start(ID), driver.start(ID)]);
        await driver.start(ID);
        assert.equal(await stateOf(driver), 'running');
        await driver.stop(ID, 0);
        await driver.stop(ID, 0);
        assert.equal(await stateOf(driver), 'stopped');
      }
    });

    const beginnings: Record<string, () => Promise<D>> = {
      'half created': async () => {
        await mkdir(join(instancesDir, ID, 'left-over'), { recursive: true });
        return open();
      },
      stopped: async () => {
        const driver = open();
        await driver.create(subject.spec(ID));
        return driver;
      },
      running,
      crashed: async () => {
        const driver = await running();
        await subject.crash(driver, instancesDir, ID);
        return driver;
      },
    };
    for (const [state, begin] of Object.entries(beginnings)) {
      test(`destroy a ${state} guest, twice: nothing is left`, async () => {
        const driver = await begin();
        await driver.destroy(ID);
        await driver.destroy(ID);
        assert.equal(await stateOf(driver), 'absent');
        assert.deepEqual(await readdir(instancesDir), []);
        assert.deepEqual(await processesIn(join(instancesDir, ID)), []);
      });
    }

    test('the guest prints on its console, and only the end is read', async () => {
      const driver = await running();
      await until(async () => (await driver.consoleOutput(ID, 1000)).length >= 10, 'the console has output');
      assert.equal((await driver.consoleOutput(ID, 4)).length, 4);
      await driver.stop(ID, 0);
      assert.ok((await driver.consoleOutput(ID, 1000)).length >= 10, 'it can be read after the guest has ended');
    });

    for (const state of ['stopped', 'running'] as const) {
      test(`backup of a ${state} guest: standalone, with progress, and repeatable`, async () => {
        const driver = await (state === 'running' ? running() : (beginnings.stopped ?? running)());
        const out = join(root, 'out');
        await mkdir(out);
        const target = join(out, 'backup.qcow2');
        for (let round = 0; round < 2; round += 1) {
          const { control, seen } = watch();
          const result = await driver.backupDisk(ID, target, control);
          const { sizeBytes: virtualSizeBytes } = subject.spec(ID).disk;
          assert.deepEqual(await readQcow2Header(target), {
            virtualSizeBytes,
            backingFile: null,
            externalDataFile: false,
          });
          assert.deepEqual(result, {
            sizeBytes: (await stat(target)).size,
            virtualSizeBytes,
            live: state === 'running',
          });
          assertProgress(seen);
          assert.deepEqual(await readdir(out), ['backup.qcow2']);
          assert.equal(await stateOf(driver), state);
        }
      });

      test(`an aborted or impossible backup of a ${state} guest leaves nothing and can be repeated`, async () => {
        const driver = await (state === 'running' ? running() : (beginnings.stopped ?? running)());
        const out = join(root, 'out');
        await mkdir(out);
        const target = join(out, 'backup.qcow2');
        await assert.rejects(driver.backupDisk(ID, target, { ...watch().control, signal: AbortSignal.abort() }), {
          code: 'aborted',
        });
        if (state === 'running') {
          const abort = new AbortController();
          const control = { signal: abort.signal, onProgress: () => abort.abort() };
          await assert.rejects(driver.backupDisk(ID, target, control), { code: 'aborted' });
        }
        assert.deepEqual(await readdir(out), []);
        await assert.rejects(driver.backupDisk(ID, join(root, 'no-such-folder', 'x'), watch().control));
        assert.equal(await stateOf(driver), state);
        await driver.backupDisk(ID, target, watch().control);
        assert.deepEqual(await readdir(out), ['backup.qcow2']);
      });
    }

    test('a crash is told once, stays visible, and start or stop get out of it', async () => {
      const driver = await running();
      const events: GuestEvent[] = [];
      const off = driver.onEvent((event) => events.push(event));
      await subject.crash(driver, instancesDir, ID);
      await until(async () => events.length > 0, 'the crash is told');
      assert.deepEqual(
        events.map(({ id, state }) => ({ id, state })),
        [{ id: ID, state: 'crashed' }],
      );
      assert.notEqual(events[0]?.reason, '');
      assert.equal(await stateOf(driver), 'crashed');
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
      off();
      await subject.crash(driver, instancesDir, ID);
      await until(async () => (await stateOf(driver)) === 'crashed', 'the second crash is seen');
      await driver.stop(ID, 0);
      assert.equal(await stateOf(driver), 'stopped');
      assert.equal(events.length, 1, 'nothing is told to a listener that has left');
    });

    test('stop and destroy are no news', async () => {
      const driver = await running();
      const events: GuestEvent[] = [];
      driver.onEvent((event) => events.push(event));
      await driver.stop(ID, 0);
      await driver.start(ID);
      await driver.destroy(ID);
      await driver.inspect(ID);
      assert.deepEqual(events, []);
    });

    test('guests run on when the driver lets go of them, and end when it is told to end them', async () => {
      const first = await running();
      await first.close({ stopGuests: false });
      const second = open();
      assert.deepEqual(await second.recover(), [{ id: ID, state: 'running' }]);
      await second.close({ stopGuests: true });
      assert.equal(await stateOf(open()), 'stopped');
    });

    for (const stage of ['created', 'started'] as const) {
      test(`the process is killed when it has ${stage} a guest: a new one carries on`, async () => {
        const kill = await childAt(subject, instancesDir, subject.spec(ID), stage);
        await kill();
        const driver = open();
        const recovered = await driver.recover();
        assert.deepEqual(
          recovered.map(({ id }) => id),
          [ID],
        );
        if (stage === 'started') assert.equal(recovered[0]?.state, 'running');
        await driver.create(subject.spec(ID));
        await driver.start(ID);
        assert.equal(await stateOf(driver), 'running');
        const events: GuestEvent[] = [];
        driver.onEvent((event) => events.push(event));
        await subject.crash(driver, instancesDir, ID);
        await until(async () => events.length > 0, 'a guest that was found again is watched, too');
      });
    }
  });
}

/** Runs `conformance-child.ts` up to a stage; the returned function kills it with SIGKILL and waits for its end. */
export async function childAt(
  subject: Pick<Subject, 'module' | 'factory'>,
  instancesDir: string,
  spec: GuestSpec,
  stage: ChildStage,
): Promise<() => Promise<void>> {
  const program = fileURLToPath(new URL('./conformance-child.ts', import.meta.url));
  const words = [program, subject.module.href, subject.factory, instancesDir, JSON.stringify(spec)];
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

function watch(): { control: JobControl; seen: ByteProgress[] } {
  const seen: ByteProgress[] = [];
  return { control: { signal: new AbortController().signal, onProgress: (progress) => seen.push(progress) }, seen };
}

function assertProgress(seen: readonly ByteProgress[]): void {
  const last = seen.at(-1);
  assert.ok(last && last.total > 0 && last.done === last.total, 'progress ends at its total');
  for (const [index, { done }] of seen.entries())
    assert.ok(done >= (seen[index - 1]?.done ?? 0), 'progress never falls');
}

async function snapshotOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder)).sort();
  const files = await Promise.all(names.map(async (name) => ({ name, ...(await stat(join(folder, name))) })));
  return Object.fromEntries(files.map(({ name, size, ino }) => [name, `${size} bytes, inode ${ino}`]));
}
