/**
 * The QEMU driver with real guests. Needs the guest image (`guest-image/build.sh`; MICRONOVA_GUEST_IMAGE says where it is);
 * without it the suite fails rather than pretends.
 */

import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { openSerial, type SerialConsole } from '../../../../cli/serial-console.ts';
import { findUser } from '../../qemu-user.ts';
import { childAt, driverConformance, processesIn, until } from '../conformance.ts';
import type { Driver, GuestEvent, GuestSpec, JobControl } from '../driver.ts';
import { boundLog } from './console-log.ts';
import { qemuDriver } from './qemu-driver.ts';
import { QmpClient } from './qmp/client.ts';
import { asUser } from './run-as.ts';
import { shareFolder } from './shared-files.ts';
import { connectUnix } from './unix-socket.ts';

const run = promisify(execFile);
const IMAGE = guestImagePath();

const PASSWORD = 'correct-horse';
const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0001';
const OTHER = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0002';
const subject = { module: new URL('./qemu-driver.ts', import.meta.url), factory: 'qemuDriver' };

const spec = (id: string, base = IMAGE): GuestSpec => ({
  id,
  name: 'tester',
  vcpus: 1,
  memoryMib: 128,
  disk: { name: 'disk', base, baseFormat: 'qcow2', sizeBytes: 256 * 2 ** 20 },
  otherDisks: [],
  guestAgent: false,
  nics: [{ mac: '52:54:00:00:00:01' }],
  configDrive: {
    'openstack/latest/meta_data.json': JSON.stringify({ uuid: id, hostname: 'tester', admin_pass: PASSWORD }),
    'openstack/content/0000': { base64: 'AP+A' },
  },
});
const ignored = (): JobControl => ({ signal: new AbortController().signal, onProgress: () => undefined });

interface HandleFile {
  process: { pid: number; startTime: string };
}
const handleOf = async (instancesDir: string, id = ID): Promise<HandleFile> =>
  JSON.parse(await readFile(join(instancesDir, id, 'own', 'handle.json'), 'utf8'));

driverConformance('qemu', () => ({
  ...subject,
  open: (instancesDir) => qemuDriver({ instancesDir }),
  spec,
  booted: (driver, id) => until(async () => (await driver.consoleOutput(id, 4000)).includes('READY'), 'it is up'),
  deafen: () => undefined, // it has just been started, and hears nothing yet
  loseWithHost: async (instancesDir, id) => {
    for (const pid of await qemusIn(join(instancesDir, id))) process.kill(pid, 'SIGKILL');
    await until(async () => (await processesIn(join(instancesDir, id))).length === 0, 'QEMU has ended');
    const path = join(instancesDir, id, 'own', 'handle.json');
    if (!existsSync(path)) return;
    await writeFile(path, JSON.stringify({ ...(await handleOf(instancesDir, id)), bootId: 'another' }));
  },
  crash: async (_driver, instancesDir, id) => {
    const { pid } = (await handleOf(instancesDir, id)).process;
    process.kill(pid, 'SIGKILL');
    await until(async () => (await processesIn(join(instancesDir, id))).length === 0, 'QEMU has ended');
  },
}));

describe('QEMU driver', { concurrency: false }, () => {
  let root: string;
  let instancesDir: string;
  let driver: Driver;
  let events: GuestEvent[];

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'micronova-qemu-'));
    instancesDir = join(root, 'instances');
    await mkdir(instancesDir);
    driver = qemuDriver({ instancesDir });
    events = [];
    driver.onEvent((event) => events.push(event));
  });

  afterEach(async () => {
    try {
      await driver.close({ stopGuests: true });
    } finally {
      for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
      await rm(root, { recursive: true, force: true });
    }
  });

  const started = async (id = ID): Promise<void> => {
    await driver.create(spec(id));
    await driver.start(id);
  };
  const loggedIn = async (id: string): Promise<SerialConsole> => {
    const console = await openSerial(join(instancesDir, id, 'serial.sock'));
    await console.login(PASSWORD);
    return console;
  };

  test('a live backup holds exactly what was written before it, and the guest never stops', async () => {
    await started();
    const debug = await QmpClient.connect(join(instancesDir, ID, 'qmp-debug.sock'), { timeoutMs: 10_000 });
    const seen: string[] = [];
    debug.onEvent(({ event }) => seen.push(event));
    const guest = await loggedIn(ID);
    await guest.run('dd if=/dev/urandom of=/root/big bs=1M count=24; echo first > /root/before; sync');
    const sum = (await guest.run('md5sum < /root/big')).output;
    const target = join(root, 'backup.qcow2');
    const backup = driver.backupDisk(ID, target, ignored());
    const late = guest.run('echo second > /root/after; dd if=/dev/zero of=/root/big bs=1M count=24; sync');
    const result = await backup;
    await late;
    assert.equal(result.live, true);
    assert.equal((await guest.run('cat /root/after')).output, 'second\n');
    assert.ok(seen.includes('JOB_STATUS_CHANGE') && !seen.includes('STOP'), `events: ${seen.join(' ')}`);
    debug.close();
    await run('qemu-img', ['check', target]);

    // The guest ends by itself: that is news, and no crash.
    guest.send('poweroff\n');
    await until(async () => events.length > 0, 'the power-off is told');
    guest.close();
    assert.deepEqual(events, [{ id: ID, state: 'stopped', reason: 'guest powered off' }]);
    assert.equal((await driver.inspect(ID)).state, 'stopped');

    await driver.create(spec(OTHER, target));
    await driver.start(OTHER);
    const copy = await loggedIn(OTHER);
    assert.equal((await copy.run('cat /root/before')).output, 'first\n');
    assert.equal((await copy.run('md5sum < /root/big')).output, sum);
    assert.notEqual((await copy.run('cat /root/after')).code, 0);
    copy.close();
    const stopping = Date.now();
    await driver.stop(OTHER, 60_000);
    assert.ok(Date.now() - stopping < 60_000, 'the power button was enough');
    assert.match(await driver.consoleOutput(OTHER, 2000), /going down/);
    assert.equal(events.length, 1, 'a stop that was asked for is no news');
  });

  test('an image that refers to other files is refused', async () => {
    const layered = join(root, 'layered.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', IMAGE, layered]);
    const split = join(root, 'split.qcow2');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', `data_file=${join(root, 'data.raw')}`, split, '64M']);
    for (const base of [layered, split, join(root, 'missing'), '/etc/hostname']) {
      await assert.rejects(driver.create(spec(ID, base)), { code: 'bad_base_image' });
    }
    await assert.rejects(driver.create({ ...spec(ID), disk: { ...spec(ID).disk, sizeBytes: 2 ** 20 } }), {
      code: 'bad_spec',
    });
    assert.equal((await driver.inspect(ID)).state, 'absent');
  });

  test('killed at any moment of create and start: the next start finds or makes exactly one QEMU', async () => {
    for (const afterMs of [0, 5, 10, 15, 20, 25, 30, 40, 60, 90]) {
      const kill = await childAt(subject, instancesDir, spec(ID), 'ready');
      await delay(afterMs); // the point of this test is to hit different moments
      await kill();
      await driver.create(spec(ID));
      await driver.start(ID);
      assert.equal((await driver.inspect(ID)).state, 'running', `killed after ${afterMs} ms`);
      assert.equal((await qemusIn(join(instancesDir, ID))).length, 1, `killed after ${afterMs} ms`);
      await driver.destroy(ID);
      assert.deepEqual(await processesIn(root), []);
    }
  });

  test('a backup job of a killed predecessor is taken away, with its file', async () => {
    await started();
    const debug = await QmpClient.connect(join(instancesDir, ID, 'qmp-debug.sock'), { timeoutMs: 10_000 });
    const leftOver = join(instancesDir, ID, 'backup.partial');
    await run('qemu-img', ['create', '-q', '-f', 'qcow2', leftOver, '256M']);
    const file = { driver: 'file', filename: leftOver };
    await debug.execute('blockdev-add', { driver: 'qcow2', 'node-name': 'backup-target', file });
    const job = { 'job-id': 'backup', device: 'disk', target: 'backup-target', sync: 'full', speed: 65536 } as const;
    await debug.execute('blockdev-backup', { ...job, 'auto-dismiss': false });
    await driver.backupDisk(ID, join(root, 'new.qcow2'), ignored());
    assert.deepEqual(await debug.execute('query-jobs'), []);
    const nodes = await debug.execute('query-named-block-nodes', { flat: true });
    assert.ok(!nodes.some((node) => node['node-name'] === 'backup-target'));
    assert.ok(!existsSync(leftOver));
    debug.close();
  });

  test('a QEMU that does not answer is destroyed all the same', async () => {
    await started();
    process.kill((await handleOf(instancesDir)).process.pid, 'SIGSTOP');
    await driver.destroy(ID);
    assert.deepEqual(await processesIn(root), []);
    assert.deepEqual(await readdir(instancesDir), []);
  });

  test('destroy, stop without grace, and inspect do not wait for a patient stop', async () => {
    await started();
    const first = driver.stop(ID, 120_000); // the guest has not booted yet and cannot hear it
    assert.equal((await driver.inspect(ID)).state, 'running');
    await driver.stop(ID, 0);
    await first;
    await driver.start(ID);
    const second = driver.stop(ID, 120_000);
    await driver.inspect(ID);
    await driver.destroy(ID);
    await second;
    assert.deepEqual(events, []);
  });

  test('nobody who only looks waits for a guest that is busy', async () => {
    await started();
    await driver.create(spec(OTHER));
    const stop = driver.stop(ID, 120_000);
    // A stopped guest is copied with nobody else at it; the copy hangs.
    const convert = driver.backupDisk(OTHER, join(root, 'copy.qcow2'), ignored());
    const converters = async () => (await processesIn(join(instancesDir, OTHER))).length;
    await until(async () => (await converters()) > 0, 'it is copied');
    for (const pid of await processesIn(join(instancesDir, OTHER))) process.kill(pid, 'SIGSTOP');
    const begun = performance.now();
    const states = [...(await driver.recover()), await driver.inspect(ID), await driver.inspect(OTHER)];
    assert.ok(performance.now() - begun < 5_000);
    assert.deepEqual(states.map(({ id, state }) => `${id === ID ? 'first' : 'other'} ${state}`).toSorted(), [
      'first running',
      'first running',
      'other stopped',
      'other stopped',
    ]);
    for (const pid of await processesIn(join(instancesDir, OTHER))) process.kill(pid, 'SIGCONT');
    await convert;
    await driver.stop(ID, 0);
    await stop;
  });

  test('a pid that belongs to somebody else now is never signalled', async () => {
    await started();
    await driver.stop(ID, 0);
    const stranger = spawn('sleep', ['60']);
    try {
      const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
      const stale = {
        version: 1,
        phase: 'started',
        process: { pid: stranger.pid, startTime: '1' },
        bootId,
        argvHash: '',
      };
      const dir = join(instancesDir, ID);
      const now = await startTimeOf(stranger.pid ?? 0);
      for (const [place, startTime] of [
        [dir, '1'],
        [dir, now],
        [join(dir, 'own'), '1'],
        [join(dir, 'own'), now],
      ] as const) {
        const process = { pid: stranger.pid, startTime };
        await writeFile(join(place, 'handle.json'), JSON.stringify({ ...stale, process }));
        await writeFile(join(dir, 'qemu.pid'), `${stranger.pid}\n`);
        assert.equal((await driver.inspect(ID)).state, 'crashed');
        await driver.stop(ID, 0);
        assert.ok(!existsSync(join(place, 'handle.json')));
        assert.equal(stranger.exitCode ?? stranger.signalCode, null);
      }
      await writeFile(join(dir, 'own', 'handle.json'), JSON.stringify(stale));
      await writeFile(join(instancesDir, ID, 'qemu.pid'), `${stranger.pid}\n`);
      assert.equal((await driver.inspect(ID)).state, 'crashed');
      await driver.destroy(ID);
      assert.equal(stranger.exitCode ?? stranger.signalCode, null);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  test('a guest that an earlier version started: it is found, and what became of it is known', async () => {
    const dir = join(instancesDir, ID);
    const asEarlier = async (changes: object = {}) => {
      await driver.close({ stopGuests: false });
      const note = { ...(await handleOf(instancesDir)), ...changes };
      await rm(join(dir, 'own'), { recursive: true });
      await writeFile(join(dir, 'handle.json'), JSON.stringify(note));
      driver = qemuDriver({ instancesDir });
    };
    await started();
    const [pid] = await qemusIn(dir);
    await asEarlier();
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'running' }]);
    await driver.suspend(ID, ignored());
    await driver.start(ID);
    assert.notDeepEqual(await qemusIn(dir), [pid]);
    assert.ok(!existsSync(join(dir, 'handle.json')));
    for (const loss of [{}, { bootId: 'another' }]) {
      await asEarlier(loss);
      for (const each of await qemusIn(dir)) process.kill(each, 'SIGKILL');
      await until(async () => (await processesIn(dir)).length === 0, 'it has ended');
      const { lostWithHost, state } = await driver.inspect(ID);
      assert.deepEqual([state, lostWithHost], 'bootId' in loss ? ['stopped', true] : ['crashed', undefined]);
      await driver.start(ID);
    }
  });

  test('what happened while nobody watched is told by recover', async () => {
    await started(ID);
    await started(OTHER);
    await driver.close({ stopGuests: false });
    const [first, second] = [await handleOf(instancesDir, ID), await handleOf(instancesDir, OTHER)];
    process.kill(first.process.pid, 'SIGKILL');
    process.kill(second.process.pid, 'SIGTERM'); // QEMU then ends in an orderly way, as after a power-off
    await until(async () => (await qemusIn(root)).length === 0, 'both have ended');
    driver = qemuDriver({ instancesDir });
    driver.onEvent((event) => events.push(event));
    const states = await driver.recover();
    assert.deepEqual(Object.fromEntries(states.map(({ id, state }) => [id, state])), {
      [ID]: 'crashed',
      [OTHER]: 'stopped',
    });
    assert.deepEqual(Object.fromEntries(events.map(({ id, state }) => [id, state])), {
      [ID]: 'crashed',
      [OTHER]: 'stopped',
    });
  });

  test('QEMU that cannot start says why, and nothing is left running', async () => {
    await driver.create({ ...spec(ID), memoryMib: 1 << 30 });
    await assert.rejects(driver.start(ID), { code: 'start_failed', message: /memory|ram/i });
    assert.equal((await driver.inspect(ID)).state, 'stopped');
  });

  test('works in a folder whose name is longer than a socket address', async () => {
    instancesDir = join(root, 'x'.repeat(120));
    await mkdir(instancesDir);
    driver = qemuDriver({ instancesDir });
    await started();
    await driver.close({ stopGuests: false });
    driver = qemuDriver({ instancesDir });
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'running' }]);
  });

  const user = process.geteuid?.() === 0 ? findUser('micronova-qemu') : null;
  const skip = user ? false : 'QEMU has a user of its own only where root starts it (see npm run setup)';
  test('a QEMU that was taken over leads us to no file but its own', { skip }, async () => {
    assert.ok(user);
    await driver.close({ stopGuests: true });
    driver = qemuDriver({ instancesDir, user });
    for (const folder of [root, instancesDir]) await chmod(folder, 0o711);
    const dir = join(instancesDir, ID);
    const secret = join(root, 'secret');
    await writeFile(secret, 'ours', { mode: 0o600 });
    await mkdir(dir);
    await copyFile(IMAGE, join(dir, 'base'));
    const taken = spec(ID, join(dir, 'base'));
    await driver.create(taken);
    await driver.start(ID);
    const asQemu = async (command: string): Promise<boolean> => {
      const [program = '', ...words] = [...asUser(user), 'sh', '-c', command];
      return run(program, words, { cwd: dir }).then(
        () => true,
        () => false,
      );
    };

    const ours = ['disk.qcow2', 'base', 'config.iso', 'console.log', 'qemu.log', 'spec.json', 'own', 'own/handle.json'];
    for (const name of ours) assert.ok(!(await asQemu(`ln -sf '${secret}' ${name}`)), `${name} stays`);
    for (const name of ['base', 'config.iso', 'qemu.log', 'spec.json', 'own/handle.json'])
      assert.ok(!(await asQemu(`echo >> ${name}`)), `${name} is not for QEMU to write`);
    assert.ok(await asQemu(`ln -s '${secret}' backup.partial && ln -s '${secret}' disk.qcow2.partial`));
    const stranger = spawn('sleep', ['60']);
    const victim = { pid: stranger.pid, startTime: await startTimeOf(stranger.pid ?? 0) };
    const planted = { ...(await handleOf(instancesDir)), process: victim };
    assert.ok(await asQemu(`echo '${JSON.stringify(planted)}' > handle.json`));
    assert.ok(await asQemu('rm qemu.pid serial.sock && mkfifo qemu.pid && ln -s qmp-debug.sock serial.sock'));

    const target = join(root, 'copy.qcow2');
    await driver.backupDisk(ID, target, ignored());
    const copy = await stat(target);
    assert.deepEqual([copy.isFile(), copy.uid, copy.mode & 0o777], [true, 0, 0o600]);
    await assert.rejects(connectUnix(join(dir, 'serial.sock')), { code: 'ECONNREFUSED' });
    await driver.close({ stopGuests: false });
    driver = qemuDriver({ instancesDir, user });
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'running' }]);

    assert.ok(await asQemu('rm qemu.pid && mkdir -p qemu.pid/deep'));
    // The disk's header is QEMU's to write, too.
    await driver.stop(ID, 0);
    assert.ok(await asQemu(`qemu-img rebase -q -u -f qcow2 -F raw -b '${secret}' disk.qcow2 && ln -s / tool-1.log`));
    await driver.backupDisk(ID, target, ignored());
    await run('qemu-img', ['convert', '-O', 'raw', target, join(root, 'raw')]);
    assert.ok(
      !(await readFile(join(root, 'raw'), 'latin1')).startsWith('ours'),
      'nothing is read because a header says so',
    );
    await driver.start(ID);
    await driver.destroy(ID);
    assert.deepEqual(await readdir(instancesDir), []);
    assert.equal(stranger.exitCode ?? stranger.signalCode, null);
    stranger.kill('SIGKILL');

    // Half created: others' QEMUs run as the same user.
    await mkdir(dir);
    await copyFile(IMAGE, join(dir, 'base'));
    await shareFolder(dir, user);
    assert.ok(await asQemu(`echo '${JSON.stringify(taken)}' > spec.json`));
    assert.equal((await driver.inspect(ID)).state, 'absent');
    await driver.create(taken);
    assert.equal((await stat(join(dir, 'spec.json'))).uid, 0);
    await driver.destroy(ID);
    const after = await stat(secret);
    assert.deepEqual([await readFile(secret, 'utf8'), after.uid, after.mode & 0o777], ['ours', 0, 0o600]);
  });

  test('a log that is no file is not read', async () => {
    const log = join(root, 'console.log');
    await symlink('/etc/passwd', log);
    await assert.rejects(boundLog(log), { code: 'ELOOP' });
    await rm(log);
    await run('mkfifo', [log]);
    await assert.rejects(boundLog(log), { code: 'command_failed' });
  });

  test('a guest that prints for ever fills no disk', async () => {
    const log = join(root, 'console.log');
    await writeFile(log, Buffer.alloc(17 * 2 ** 20, 'x'));
    await appendFile(log, 'the end');
    await boundLog(log);
    assert.equal((await stat(log)).size, 2 ** 20);
    assert.match(await readFile(log, 'utf8'), /the end$/);
  });
});

async function startTimeOf(pid: number): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

/** Pids of QEMU processes in a folder; the shell that waits for each is not counted. */
async function qemusIn(folder: string): Promise<number[]> {
  const pids = await processesIn(folder);
  const names = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')));
  return pids.filter((_, index) => names[index]?.startsWith('qemu-system'));
}
