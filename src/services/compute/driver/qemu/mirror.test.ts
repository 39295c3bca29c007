/** Disks that are copied while a guest writes to them all the time. Needs the guest image, as `qemu-driver.test.ts` does. */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { promisify } from 'node:util';
import { processesIn, until } from '../conformance.ts';
import { QemuHost } from '../testing/qemu-host.ts';
import { beginMirror, completeMirrors, lookAtMirrors, removeMirrors } from './mirror.ts';
import { Outgoing } from './outgoing.ts';
import { QmpClient } from './qmp/client.ts';

const run = promisify(execFile);
const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0005';
const WRITERS = 4;
/** With `write-blocking` the guest was gone after 4 to 42. */
const ATTEMPTS = 150;
/** The disk that is written to. */
const [DISK, NAME, FILE] = [1, 'second', 'second.qcow2'];

describe('mirrors of disks that a guest writes to', () => {
  let root: string;
  let source: QemuHost;
  let target: QemuHost;
  let qmp: QmpClient;

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'micronova-mirror-'));
    await chmod(root, 0o711);
    source = new QemuHost(join(root, 'source'), ID, null);
    target = new QemuHost(join(root, 'target'), ID, null);
    await source.prepare();
    await target.prepare();
    await source.driver.create(source.spec());
    await source.driver.start(ID);
    const guest = await source.loggedIn();
    for (let writer = 0; writer < WRITERS; writer++) {
      const write = `dd if=/dev/urandom of=/dev/vdb bs=64k count=20 seek=${writer * 20} conv=fsync,notrunc`;
      await guest.run(`while ${write}; do echo tick ${writer} > /dev/console; done >/dev/null 2>&1 & true`);
    }
    guest.close();
    await target.driver.receive(target.spec());
    qmp = await QmpClient.connect(join(source.dir, 'qmp-debug.sock'), { timeoutMs: 10_000 });
  });

  afterEach(async () => {
    try {
      qmp.close();
      for (const host of [source, target]) await host.driver.close({ stopGuests: true });
    } finally {
      for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
      await rm(root, { recursive: true, force: true });
    }
  });

  /** Does that while the disk over there follows what the guest writes. */
  const whileMirroring = async (work: (line: Outgoing) => Promise<void>) => {
    const line = await Outgoing.listen({
      dir: source.dir,
      user: null,
      open: (stream) => target.driver.openIncoming(ID, stream),
      onBroken: () => undefined,
    });
    try {
      await line.prepare('disks', new AbortController().signal);
      await beginMirror(qmp, DISK, NAME, 0);
      await until(
        async () => (await lookAtMirrors(qmp)).every(({ status }) => status === 'ready'),
        'the disk is there',
      );
      await work(line);
    } finally {
      await line.close();
    }
  };

  test('cut and called off at any moment, they leave the guest as it was', async () => {
    const nodes = async () =>
      (await qmp.execute('query-named-block-nodes', { flat: true })).map((node) => node['node-name']);
    const before = await nodes();
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      await whileMirroring(async (line) => {
        if (attempt % 2 === 0) line.destroy();
        await removeMirrors(qmp);
      });
      assert.deepEqual(await nodes(), before, `attempt ${attempt}`);
    }
    assert.deepEqual(await source.driver.inspect(ID), { id: ID, state: 'running' });
    await source.ticksOn();
  });

  test('the other side has what was written last', async () => {
    await whileMirroring(async () => {
      await source.ticksOn();
      await qmp.execute('stop');
      await completeMirrors(qmp);
    });
    await target.driver.close({ stopGuests: true });
    const [here, there] = [source, target].map(({ dir }) => join(dir, FILE));
    await run('qemu-img', ['compare', '-U', String(here), String(there)]);
  });
});
