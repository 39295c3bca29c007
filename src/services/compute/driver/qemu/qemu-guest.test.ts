/**
 * What guests themselves notice of the QEMU driver: their memory, their disks, their agent, their host's full disk. Needs the
 * guest image, as `qemu-driver.test.ts` does.
 */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual, promisify } from 'node:util';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { SerialConsole } from '../../../../cli/serial-console.ts';
import { findUser } from '../../qemu-user.ts';
import { childAt, processesIn, until } from '../conformance.ts';
import type { Driver, GuestEvent, GuestSpec, JobControl } from '../driver.ts';
import { readSpec } from '../guest-files.ts';
import { GuestAgent } from './guest-agent.ts';
import { saveMemory } from './memory.ts';
import { qemuDriver } from './qemu-driver.ts';
import { QmpClient } from './qmp/client.ts';

const run = promisify(execFile);
const IMAGE = guestImagePath();
const PASSWORD = 'correct-horse';
const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0003';
const LONG_MS = 120_000;
const subject = { module: new URL('./qemu-driver.ts', import.meta.url), factory: 'qemuDriver' };
const isRoot = process.geteuid?.() === 0;

const spec = (changes: Partial<GuestSpec> = {}): GuestSpec => ({
  id: ID,
  name: 'tester',
  vcpus: 1,
  memoryMib: 128,
  disk: { name: 'disk', base: IMAGE, baseFormat: 'qcow2', sizeBytes: 256 * 2 ** 20 },
  otherDisks: [],
  guestAgent: false,
  nics: [],
  configDrive: {
    'openstack/latest/meta_data.json': JSON.stringify({ uuid: ID, hostname: 'tester', admin_pass: PASSWORD }),
  },
  ...changes,
});
const ignored = (): JobControl => ({ signal: new AbortController().signal, onProgress: () => undefined });

describe('QEMU guests', { concurrency: false }, () => {
  let root: string;
  let instancesDir: string;
  let dir: string;
  let driver: Driver;
  let events: GuestEvent[];

  const open = (user: ReturnType<typeof findUser> = null): Driver => {
    driver = qemuDriver({ instancesDir, user });
    driver.onEvent((event) => events.push(event));
    return driver;
  };
  const at = (folder: string) => {
    instancesDir = folder;
    dir = join(folder, ID);
  };

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'micronova-guest-'));
    at(join(root, 'instances'));
    await mkdir(instancesDir);
    events = [];
    open();
  });

  afterEach(async () => {
    try {
      await driver.close({ stopGuests: true });
    } finally {
      for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
      await rm(root, { recursive: true, force: true });
    }
  });

  const begin = async (changes: Partial<GuestSpec> = {}): Promise<void> => {
    await driver.create(spec(changes));
    await driver.start(ID);
  };
  const loggedIn = async (password = PASSWORD): Promise<SerialConsole> => {
    // A Unix socket by another name.
    const console = new SerialConsole(
      (await driver.openConsole(ID, 'serial')) as ConstructorParameters<typeof SerialConsole>[0],
    );
    await console.login(password);
    return console;
  };
  const pidOf = async (): Promise<number> =>
    JSON.parse(await readFile(join(dir, 'own', 'handle.json'), 'utf8')).process.pid;
  const debugger_ = () => QmpClient.connect(join(dir, 'qmp-debug.sock'), { timeoutMs: 10_000 });
  const numbersIn = (text: string, what: string) =>
    [...text.matchAll(new RegExp(`${what}(\\d+)`, 'g'))].map(([, number]) => Number(number));

  for (const [who, user] of [
    ['us', null],
    ['a user of its own', isRoot ? findUser('micronova-qemu') : null],
  ] as const) {
    const skip = who === 'us' || user ? false : 'QEMU has a user of its own only where root starts it';
    test(`a program in the guest goes on across suspend and start, with QEMU run by ${who}`, { skip }, async () => {
      await driver.close({ stopGuests: true });
      at(join(root, 'x'.repeat(120))); // longer than the address of a socket may be
      await mkdir(dir, { recursive: true });
      for (const folder of [root, instancesDir]) await chmod(folder, 0o711);
      await copyFile(IMAGE, join(dir, 'base'));
      open(user);
      await begin({ disk: { ...spec().disk, base: join(dir, 'base') } });
      const guest = await loggedIn();
      guest.send('n=0; while :; do n=$((n + 1)); echo "tick $n"; usleep 20000; done\n');
      const ticks = async () => numbersIn(await driver.consoleOutput(ID, 100_000), 'tick ');
      await until(async () => (await ticks()).length > 10, 'it counts');
      const [before, size] = [await pidOf(), spec().memoryMib * 2 ** 20];
      let total = 0;
      await driver.suspend(ID, { ...ignored(), onProgress: (progress) => (total = progress.total) });
      assert.ok(total >= size, 'progress is about its memory');
      guest.close();
      const counted = (await ticks()).at(-1) ?? 0;
      assert.deepEqual((await readdir(join(dir, 'own'))).sort(), ['memory.json', 'memory.zst']);
      await driver.start(ID);
      assert.notEqual(await pidOf(), before);
      assert.deepEqual(await readdir(join(dir, 'own')), ['handle.json']);
      await until(async () => ((await ticks()).at(-1) ?? 0) > counted + 10, 'it counts on');
      const all = await ticks();
      assert.deepEqual(
        all,
        Array.from(all, (_, index) => (all[0] ?? 0) + index),
        'no number is missing, and none comes twice',
      );
      assert.deepEqual(events, []);
    });
  }

  test('cards come and go while the guest runs, and the others stay where they are', async () => {
    const macs = ['fa:16:3e:00:00:01', 'fa:16:3e:00:00:02', 'fa:16:3e:00:00:03'] as const;
    await begin({ nics: [{ mac: macs[0] }] });
    let guest = await loggedIn();
    /** The cards that the guest has, with where they are in its machine. */
    const seen = async () => {
      const { output } = await guest.run(
        'for n in /sys/class/net/eth*; do echo $(cat $n/address) $(readlink -f $n/device/..); done',
      );
      return Object.fromEntries(
        output
          .trim()
          .split('\n')
          .map((line) => line.trim().split(' ')),
      );
    };
    const has = async (wanted: Record<string, string>) =>
      until(async () => isDeepStrictEqual(await seen(), wanted), `the guest has ${Object.keys(wanted)}`);
    await driver.plug(ID, { mac: macs[1], mtu: 1400 });
    await driver.plug(ID, { mac: macs[2] });
    await until(async () => macs[2] in (await seen()), 'the guest has three');
    const { [macs[0]]: _, ...left } = await seen();
    assert.equal(Object.keys(left).length, 2);
    await driver.unplug(ID, macs[0]);
    await driver.unplug(ID, macs[0]);
    await has(left);
    await driver.suspend(ID, ignored());
    guest.close();
    await driver.start(ID);
    guest = await loggedIn();
    await has(left);
    await driver.plug(ID, { mac: macs[0] });
    await until(async () => macs[0] in (await seen()), 'the guest has it again');
    guest.close();
  });

  test('what was left half done by a suspend: the file is the guest, the process is not', async () => {
    for (const verb of ['start', 'suspend', 'stop', 'destroy'] as const) {
      await begin();
      const debug = await debugger_();
      await driver.close({ stopGuests: false });
      await debug.execute('stop');
      const argv = JSON.parse(await readFile(join(dir, 'own', 'handle.json'), 'utf8')).argv as string[];
      await saveMemory(debug, dir, { spec: spec(), argv, user: null }, ignored());
      debug.close();
      const left = await pidOf();
      open();
      assert.deepEqual(await driver.recover(), [{ id: ID, state: 'suspended' }]);
      if (verb === 'suspend') await driver.suspend(ID, ignored());
      else if (verb === 'stop') await driver.stop(ID, LONG_MS);
      else await driver[verb](ID);
      const states = { start: 'running', suspend: 'suspended', stop: 'stopped', destroy: 'absent' } as const;
      assert.deepEqual(await driver.inspect(ID), { id: ID, state: states[verb] });
      assert.ok(!existsSync(`/proc/${left}/fd/0`), 'the old process is gone');
      assert.equal(existsSync(join(dir, 'own', 'memory.zst')), verb === 'suspend');
      await driver.destroy(ID);
    }
  });

  test('killed between the end of a suspended process and the note of it: suspended, and no crash', async () => {
    await begin();
    const note = await readFile(join(dir, 'own', 'handle.json'));
    await driver.suspend(ID, ignored());
    await driver.close({ stopGuests: false });
    await writeFile(join(dir, 'own', 'handle.json'), note);
    await writeFile(join(dir, 'qemu.pid'), '1\n');
    open();
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'suspended' }]);
    assert.deepEqual(events, []);
    await driver.start(ID);
    assert.equal((await driver.inspect(ID)).state, 'running');
  });

  test('a suspended guest goes on with the words it was started with, which know no sleep since a while', async () => {
    await begin();
    const guest = await loggedIn();
    assert.match((await guest.run('dmesg')).output, /ACPI: .*\(supports S0 S5\)/);
    guest.close();
    await driver.suspend(ID, ignored());
    const path = join(dir, 'own', 'memory.json');
    const { argv } = JSON.parse(await readFile(path, 'utf8')) as { argv: string[] };
    const earlier = argv.filter((word, index) => word !== '-global' && argv[index - 1] !== '-global');
    assert.equal(earlier.length, argv.length - 4);
    await writeFile(path, JSON.stringify({ argv: earlier }));
    for (let round = 0; round < 2; round += 1) {
      await driver.start(ID);
      assert.ok(!(await readFile(`/proc/${await pidOf()}/cmdline`, 'latin1')).includes('disable_s3'));
      await driver.suspend(ID, ignored());
    }
  });

  test('a memory file that cannot be read stays, and nothing runs', async () => {
    await begin();
    await driver.suspend(ID, ignored());
    const path = join(dir, 'own', 'memory.zst');
    const bytes = await readFile(path);
    await truncate(path, Math.floor(bytes.length / 2));
    for (let round = 0; round < 2; round += 1) await assert.rejects(driver.start(ID), { code: 'start_failed' });
    assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'suspended' });
    assert.deepEqual(await processesIn(dir), []);
    await writeFile(path, bytes);
    await driver.start(ID);
    assert.equal((await driver.inspect(ID)).state, 'running');
  });

  test('reboot: same process, another boot; one that was cut short is finished by start; a power-off after it is news', async () => {
    await begin();
    const boots = async (count: number) =>
      until(async () => numbersIn(await driver.consoleOutput(ID, 100_000), 'boots=').at(-1) === count, `boot ${count}`);
    await boots(1);
    const pid = await pidOf();
    assert.equal(await driver.reboot(ID, LONG_MS), true);
    await boots(2);
    await driver.close({ stopGuests: false });
    const debug = await debugger_();
    await debug.execute('set-action', { shutdown: 'pause' });
    await debug.execute('system_powerdown');
    await until(async () => (await debug.execute('query-status')).status === 'shutdown', 'it powers off');
    debug.close();
    open();
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'stopped' }]);
    await driver.start(ID);
    await boots(3);
    assert.deepEqual([await pidOf(), events], [pid, []]);
    const guest = await loggedIn();
    guest.send('poweroff\n');
    await until(async () => events.length > 0, 'the power-off is told');
    assert.deepEqual(events, [{ id: ID, state: 'stopped', reason: 'guest powered off' }]);
    assert.deepEqual(await processesIn(dir), []);
  });

  test('an agent freezes for a backup, thaws at once and after a kill, and sets passwords', async () => {
    await begin({ guestAgent: true });
    const guest = await loggedIn();
    await until(
      async () => (await driver.consoleOutput(ID, 100_000)).includes('guest agent started'),
      'there is an agent',
    );
    const marker = 'not-yet-written-out';
    await guest.run(`sync; echo ${marker.replaceAll('-', '_').toUpperCase()} | tr A-Z_ a-z- > /root/late`);
    const copied = async (name: string, quiesce: boolean) => {
      const target = join(root, name);
      const result = await driver.backupDisk(ID, target, ignored(), quiesce ? { quiesce: 'required' } : {});
      await run('qemu-img', ['convert', '-O', 'raw', target, `${target}.raw`]);
      const found = (await readFile(`${target}.raw`)).includes(marker);
      return { quiesced: result.quiesced, live: result.live, found };
    };
    await driver.pause(ID);
    assert.deepEqual(await copied('as-it-is', false), { quiesced: false, live: false, found: false });
    await driver.start(ID);
    assert.deepEqual(await copied('frozen', true), { quiesced: true, live: true, found: true });
    assert.equal((await guest.run('echo after > /root/after && sync')).code, 0);

    const frozen = async () => {
      const agent = await GuestAgent.connect(join(dir, 'qga.sock'));
      try {
        return await agent.execute('guest-fsfreeze-status');
      } finally {
        agent.close();
      }
    };
    await driver.close({ stopGuests: false });
    await freezeAndDie(dir);
    assert.equal(await frozen(), 'frozen');
    open();
    await driver.recover();
    await until(async () => !existsSync(join(dir, 'own', 'frozen')), 'the guest is thawed');
    assert.equal(await frozen(), 'thawed');
    guest.close();
    // A guest whose disk was full in the moment of freezing.
    await driver.pause(ID);
    await writeFile(join(dir, 'own', 'frozen'), '');
    await driver.start(ID);
    await until(async () => !existsSync(join(dir, 'own', 'frozen')), 'one that goes on is thawed, too');

    await driver.setPassword(ID, 'root', `it's "new" $1 \\ ü`);
    const shell = await loggedIn();
    shell.send('exit\n');
    await shell.expect(/login: ?$/, LONG_MS);
    await shell.login(`it's "new" $1 \\ ü`);
    await assert.rejects(driver.setPassword(ID, 'nosuchuser', 'x'), { code: 'guest_agent' });
    await shell.run('killall qemu-ga');
    await assert.rejects(driver.setPassword(ID, 'root', 'x'), { code: 'guest_agent' });
    const target = join(root, 'without');
    await assert.rejects(driver.backupDisk(ID, target, ignored(), { quiesce: 'required' }), { code: 'guest_agent' });
    assert.ok(!existsSync(target));
    assert.equal((await driver.backupDisk(ID, target, ignored())).quiesced, false);
    shell.close();
  });

  test('a rescue disk before the usual one: both are there, in this order, and the usual one is as it was after it', async () => {
    await begin();
    const first = await loggedIn();
    await first.run('echo mine > /root/file; sync');
    first.close();
    await driver.stop(ID, 0);
    const disk = { ...spec().disk, name: 'rescue', sizeBytes: 300 * 2 ** 20 };
    await driver.reconfigure(spec({ disk, otherDisks: [spec().disk] }));
    await driver.start(ID);
    const rescue = await loggedIn();
    const sizes = (await rescue.run('cat /sys/block/vda/size /sys/block/vdb/size; ls /dev/vdc')).output;
    assert.equal(sizes, `${300 * 2048}\n${256 * 2048}\n/dev/vdc\n`, 'in sectors; the config drive is the last');
    assert.equal((await rescue.run('cat /root/file')).code, 1);
    assert.equal((await rescue.run('mount /dev/vdb2 /mnt && cat /mnt/root/file')).output, 'mine\n');
    await rescue.run('echo repaired > /mnt/root/file; umount /mnt; dmesg -n 8');
    await driver.injectNmi(ID);
    await until(async () => /NMI received/.test((await rescue.run('dmesg')).output), 'its kernel noticed the NMI');
    rescue.close();
    await driver.stop(ID, 0);
    await driver.revert(ID);
    await driver.start(ID);
    const after = await loggedIn();
    assert.equal((await after.run('cat /root/file; ls /dev/vdc')).output.split('\n')[0], 'repaired');
    after.close();
  });

  test('killed at any moment of a reconfigure: it can be done again and settled, or taken back', async () => {
    const other = spec({ disk: { ...spec().disk, name: 'second' }, vcpus: 2 });
    for (const [round, afterMs] of [0, 1, 2, 3, 4, 5, 6, 8, 10, 15].entries()) {
      const kill = await childAt(subject, instancesDir, spec(), 'created', other);
      await delay(afterMs); // the point of this test is to hit different moments
      await kill();
      const settle = round % 2 === 0;
      if (settle) await driver.reconfigure(other);
      await driver[settle ? 'settle' : 'revert'](ID);
      const what = `killed after ${afterMs} ms`;
      assert.deepEqual(await driver.spec(ID), settle ? other : spec(), what);
      const disks = (await readdir(dir)).filter((name) => name.endsWith('.qcow2'));
      assert.deepEqual(disks, [settle ? 'second.qcow2' : 'disk.qcow2'], what);
      assert.deepEqual(await readdir(join(dir, 'own')), [], what);
      if (!settle) assert.ok(!(await readdir(dir)).some((name) => name.startsWith('second')), what);
      await driver.start(ID);
      await driver.destroy(ID);
    }
  });

  test('a halt that nobody ordered here is told, and so is its end', async () => {
    await begin();
    const debug = await debugger_();
    await debug.execute('stop');
    await until(async () => events.length === 1, 'the halt is told');
    assert.equal((await driver.inspect(ID)).state, 'paused');
    await debug.execute('cont');
    await until(async () => events.length === 2, 'its end is told');
    assert.deepEqual(
      events.map(({ state }) => state),
      ['paused', 'running'],
    );
    debug.close();
  });

  test('a host whose disk is full: no suspend, the guest is paused and goes on when there is room', {
    skip: isRoot ? false : 'only root can mount a small disk',
  }, async () => {
    at(join(root, 'small'));
    await mkdir(instancesDir);
    await run('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', instancesDir]);
    try {
      await driver.close({ stopGuests: true });
      open();
      await begin();
      const guest = await loggedIn();
      await assert.rejects(driver.suspend(ID, ignored()), { code: 'command_failed', message: /ENOSPC|no space/i });
      assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'running' });
      assert.deepEqual(await readdir(join(dir, 'own')), ['handle.json']);
      guest.send('dd if=/dev/urandom of=/root/big bs=1M count=24; sync; echo wr""itten\n');
      await until(async () => events.length > 0, 'the pause is told');
      const reason = 'the host has no space left for its disk';
      assert.deepEqual(events, [{ id: ID, state: 'paused', reason }]);
      await driver.close({ stopGuests: false });
      const seen = events.length;
      open();
      assert.deepEqual(await driver.recover(), [{ id: ID, state: 'paused', reason }]);
      await run('mount', ['-o', 'remount,size=64m', instancesDir]);
      await driver.start(ID);
      assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'running' });
      const again = await loggedIn();
      await until(async () => (await driver.consoleOutput(ID, 4000)).includes('written'), 'the writing ends well');
      assert.equal((await again.run('ls -l /root/big')).code, 0);
      again.close();
      assert.equal(events.length, seen);
    } finally {
      await driver.close({ stopGuests: true });
      await run('umount', ['-l', instancesDir]);
    }
  });

  test('a guest of an earlier version has one disk and no agent', async () => {
    await driver.create(spec());
    const { disk, otherDisks, guestAgent, ...rest } = spec();
    const { name, ...old } = disk;
    await writeFile(join(dir, 'spec.json'), JSON.stringify({ ...rest, disk: old }));
    await rm(join(dir, 'own'), { recursive: true });
    assert.deepEqual(await readSpec(dir), { ...rest, disk: { ...old, name }, otherDisks, guestAgent });
    await driver.start(ID);
    await driver.suspend(ID, ignored());
    await driver.start(ID);
    assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'running' });
  });
});

/** A process that freezes the guest as a backup does, and is killed in that very moment. */
async function freezeAndDie(dir: string): Promise<void> {
  const program = `
    import { KeyedLock } from ${JSON.stringify(new URL('../keyed-lock.ts', import.meta.url).href)};
    import { throughAgent } from ${JSON.stringify(new URL('./quiesce.ts', import.meta.url).href)};
    setInterval(() => undefined, 60_000);
    const moment = () => {
      console.log('frozen');
      return new Promise(() => undefined);
    };
    const quiesce = throughAgent(${JSON.stringify(dir)}, new KeyedLock(), { needed: true, onUnthawed: () => undefined });
    await quiesce(moment, new AbortController().signal);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  assert.deepEqual(await Promise.race([once(lines, 'line'), exited]), ['frozen']);
  child.kill('SIGKILL');
  await exited;
}
