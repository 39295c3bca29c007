/**
 * What guests notice of a live migration between two QEMU drivers, and what is left when it goes wrong. Needs the guest image, as
 * `qemu-driver.test.ts` does.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { SerialConsole } from '../../../../cli/serial-console.ts';
import { findUser } from '../../qemu-user.ts';
import { childAt, processesIn, until } from '../conformance.ts';
import type { JobControl, MoveStream } from '../driver.ts';
import { listen, longestGap, QemuHost } from '../testing/qemu-host.ts';
import { wire } from '../testing/wire.ts';

const run = promisify(execFile);
const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0004';
const MIB = 2 ** 20;
const isRoot = process.geteuid?.() === 0;
const subject = { module: new URL('./qemu-driver.ts', import.meta.url), factory: 'qemuDriver' };

const control = (signal = new AbortController().signal): JobControl => ({ signal, onProgress: () => undefined });

describe('live migration of QEMU guests', { concurrency: false }, () => {
  let root: string;
  let source: QemuHost;
  let target: QemuHost;

  const prepare = async (user: ReturnType<typeof findUser> = null) => {
    source = new QemuHost(join(root, 'source'), ID, user);
    // Longer than the address of a socket may be.
    target = new QemuHost(join(root, 'x'.repeat(120)), ID, user);
    await source.prepare();
    await target.prepare();
    await chmod(root, 0o711);
  };
  const begin = async (times: number[] = []): Promise<SerialConsole> => {
    await source.driver.create(source.spec());
    await source.driver.start(ID);
    return source.loggedIn(times);
  };
  const direct = (stream: MoveStream): Promise<Duplex> => target.driver.openIncoming(ID, stream);

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'micronova-live-'));
  });

  afterEach(async () => {
    try {
      for (const host of [source, target]) await host.driver.close({ stopGuests: true });
    } finally {
      for (const pid of await processesIn(root)) process.kill(pid, 'SIGKILL');
      await rm(root, { recursive: true, force: true });
    }
  });

  for (const [who, user] of [
    ['us', null],
    ['a user of its own', isRoot ? findUser('micronova-qemu') : null],
  ] as const) {
    const skip = who === 'us' || user ? false : 'QEMU has a user of its own only where root starts it';
    test(`a guest goes over with memory and disks while it counts, with QEMU run by ${who}`, { skip }, async (t) => {
      await prepare(user);
      const times: number[] = [];
      const guest = await begin(times);
      const look =
        'cat /run/only-in-memory /root/on-disk; head -c 6 /dev/vdb; cat /proc/sys/kernel/random/boot_id; uname -a; md5sum /root/random';
      await guest.run('echo memory > /run/only-in-memory; echo disk > /root/on-disk; echo second > /dev/vdb');
      await guest.run('dd if=/dev/urandom of=/root/random bs=1M count=16; sync');
      const before = (await guest.run(look)).output;
      assert.match(before, /^memory\ndisk\nsecond/);
      await source.count(guest);
      await target.driver.receive(target.spec());
      listen(await target.driver.openConsole(ID, 'serial'), times);
      const baseline = longestGap(times.slice(-100));
      const begun = performance.now();
      await source.driver.migrate(ID, direct, control());
      const sent = performance.now();
      const counted = (await source.ticks()).at(-1) ?? 0;
      await target.driver.start(ID);
      const started = performance.now();
      await target.ticksOn();
      assert.equal((await source.ticks()).at(-1), counted, 'it stands still where it was');
      const gap = longestGap(times.filter((time) => time >= begun));
      t.diagnostic(
        `longest gap ${Math.round(gap)} ms (before: ${Math.round(baseline)}), migrate ${Math.round(sent - begun)} ms, start ${Math.round(started - sent)} ms`,
      );
      guest.close();
      await source.driver.destroy(ID);
      const ticks = await target.ticks();
      // One may have been half said on either side.
      assert.ok(Math.abs((ticks[0] ?? 0) - counted) <= 2, `${counted} and then ${ticks[0]}`);
      const whole = ticks.map((_, index) => (ticks[0] ?? 0) + index);
      assert.deepEqual(ticks, whole, 'no number is missing, and none comes twice');
      const there = await target.loggedIn();
      assert.equal((await there.run(look)).output, before);
      assert.equal((await there.run('echo after > /root/after; sync; cat /root/after')).output, 'after\n');
      there.close();
      assert.deepEqual([source.events, target.events], [[], []]);
      await target.reopen();
      await target.driver.stop(ID, 0);
      await target.driver.start(ID);
      const again = await target.loggedIn();
      assert.equal((await again.run('cat /root/on-disk /root/after')).output, 'disk\nafter\n');
      again.close();
    });
  }

  test('called off, cut, killed: the guest counts on where it is, and nothing is left in its QEMU or its folder', async () => {
    await prepare();
    const guest = await begin();
    // Something to send, or a disk would be there before anything can go wrong.
    await guest.run('head -c 2000000 /dev/urandom > /root/random; head -c 2000000 /dev/urandom > /dev/vdb; sync');
    await source.count(guest);
    const before = await source.traces();
    const open: Duplex[] = [];
    const attempts: Record<string, (abort: AbortController) => Promise<undefined>> = {
      'called off': (abort) => {
        abort.abort();
        return Promise.withResolvers<undefined>().promise;
      },
      cut: () => Promise.reject(new Error('cut')),
      'QEMU killed over there': async () => {
        process.kill(await target.pid(), 'SIGKILL');
        return undefined;
      },
      'hurried and then called off': async (abort) => {
        await source.driver.hurry(ID);
        assert.equal((await source.driver.inspect(ID)).state, 'paused');
        abort.abort();
        return undefined;
      },
      'the agent over there killed': async () => {
        for (const each of open.splice(0)) each.destroy();
        return undefined;
      },
    };
    for (const stream of ['disks', 'memory'] as const)
      for (const [what, attempt] of Object.entries(attempts)) {
        await target.driver.receive(target.spec());
        const abort = new AbortController();
        let done: Promise<undefined> | undefined;
        const opened = async (name: MoveStream) => {
          const far = await target.driver.openIncoming(ID, name);
          open.push(far);
          // In the middle of it: what is said to begin with is less.
          return wire(far, (passed) => {
            if (name !== stream || passed < 65_536) return undefined;
            done ??= attempt(abort);
            return done;
          });
        };
        const failure = await source.driver.migrate(ID, opened, control(abort.signal)).catch((error: unknown) => error);
        assert.ok(failure instanceof Error, `${what}: ${stream}`);
        assert.ok(done, `${what}: ${stream} was under way, and not ${failure}`);
        assert.deepEqual(await source.driver.inspect(ID), { id: ID, state: 'running' }, `${what}: ${stream}`);
        await source.ticksOn();
        assert.deepEqual(await source.traces(), before, `${what}: ${stream}`);
      }
    assert.deepEqual([source.events, target.events], [[], []]);
    guest.close();
    await source.reopen();
    await target.driver.receive(target.spec());
    await source.driver.migrate(ID, direct, control());
    await target.driver.start(ID);
    await target.ticksOn();
  });

  test('the way back: it counts on where it was, suspends as ever, and goes again', async () => {
    await prepare();
    const guest = await begin();
    await source.count(guest);
    const before = await source.traces();
    await target.driver.receive(target.spec());
    await source.driver.migrate(ID, direct, control());
    await source.reopen();
    await target.reopen();
    await target.driver.destroy(ID);
    const counted = (await source.ticks()).at(-1) ?? 0;
    await source.driver.start(ID);
    await source.ticksOn();
    assert.equal(
      (await source.ticks()).find((tick) => tick > counted),
      counted + 1,
    );
    assert.deepEqual(await source.traces(), before);
    await source.driver.suspend(ID, control());
    await source.driver.start(ID);
    await source.ticksOn();
    await target.driver.close({ stopGuests: true });
    await target.prepare();
    await target.driver.receive(target.spec());
    await source.driver.migrate(ID, direct, control());
    await target.driver.start(ID);
    await source.driver.destroy(ID);
    await target.ticksOn();
    await target.driver.suspend(ID, control());
    await target.driver.start(ID);
    await target.ticksOn();
    guest.close();
  });

  test('a guest that writes its memory faster than the line takes it: hurried, it goes', async (t) => {
    await prepare();
    const guest = await begin();
    await guest.run('head -c 20000000 /dev/urandom > /run/a');
    guest.send('n=0; while :; do cat /run/a > /run/b; n=$((n + 1)); echo "tick $n"; done\n');
    await source.ticksOn();
    await target.driver.receive(target.spec());
    const allOfIt = Promise.withResolvers<undefined>();
    let passed = 0;
    const slow = async (name: MoveStream) => {
      const far = await target.driver.openIncoming(ID, name);
      if (name === 'disks') return far;
      return wire(far, (now) => {
        const takesMs = (now - passed) / 10_000; // 10 MB a second
        passed = now;
        // More than it has, so parts of it have gone twice.
        if (passed > 144 * MIB) allOfIt.resolve(undefined);
        return delay(takesMs);
      });
    };
    const migrating = source.driver.migrate(ID, slow, control());
    await Promise.race([allOfIt.promise, migrating.then(() => assert.fail('it went by itself'))]);
    assert.equal((await source.driver.inspect(ID)).state, 'running');
    const hurried = performance.now();
    for (let twice = 0; twice < 2; twice++) await source.driver.hurry(ID);
    await migrating;
    t.diagnostic(
      `${Math.round(passed / MIB)} MiB went; ${Math.round(performance.now() - hurried)} ms from the hurry on`,
    );
    await target.driver.start(ID);
    await target.ticksOn();
    guest.close();
  });

  test('a guest that writes to its disk faster than the line takes it: hurried, it goes', async () => {
    await prepare();
    const guest = await begin();
    await guest.run('head -c 10000000 /dev/urandom > /run/a');
    const write = 'dd if=/run/a of=/dev/vdb bs=64k seek=$((n % 9)) conv=fsync,notrunc 2>/dev/null';
    guest.send(`n=0; while ${write}; do n=$((n + 1)); echo "tick $n"; done\n`);
    await source.ticksOn();
    await target.driver.receive(target.spec());
    const behind = Promise.withResolvers<undefined>();
    const slow = async (name: MoveStream) => {
      const far = await target.driver.openIncoming(ID, name);
      if (name === 'memory') return far;
      let passed = 0;
      return wire(far, (now) => {
        const takesMs = (now - passed) / 4_000; // 4 MB a second
        passed = now;
        // More than it writes to, so parts of it have gone twice.
        if (passed > 32 * MIB) behind.resolve(undefined);
        return delay(takesMs);
      });
    };
    const migrating = source.driver.migrate(ID, slow, control());
    await Promise.race([behind.promise, migrating.then(() => assert.fail('it went by itself'))]);
    await source.driver.hurry(ID);
    await migrating;
    const disks = [source, target].map(({ dir }) => join(dir, 'second.qcow2'));
    await run('qemu-img', ['compare', '-U', ...disks]);
    await target.driver.start(ID);
    await target.ticksOn();
    guest.close();
  });

  test('a paused guest stays paused, and its processors have not run in between', async () => {
    await prepare();
    const guest = await begin();
    await source.count(guest);
    await source.driver.pause(ID);
    const counted = (await source.ticks()).at(-1) ?? 0;
    await target.driver.receive(target.spec());
    await source.driver.migrate(ID, direct, control());
    await target.driver.pause(ID);
    await source.driver.destroy(ID);
    assert.deepEqual(await target.driver.inspect(ID), { id: ID, state: 'paused' });
    assert.deepEqual(await target.ticks(), []);
    await target.driver.start(ID);
    await target.ticksOn();
    assert.ok(((await target.ticks())[0] ?? 0) - counted <= 2);
    guest.close();
  });

  test('both drivers killed at any moment: it is in one place, and goes at the next attempt', async () => {
    await prepare();
    for (const afterMs of [0, 20, 50, 100, 150, 200, 300, 400, 600]) {
      const kill = await childAt(subject, source.folder, source.spec(), 'migrating', { migrateTo: target.folder });
      await delay(afterMs);
      await kill();
      await source.reopen();
      await target.reopen();
      const [found] = await source.driver.recover();
      await target.driver.recover();
      const isWhole = found?.state === 'running' || found?.reason === 'it has gone to another host';
      assert.ok(isWhole, `${afterMs} ms: ${JSON.stringify(found)}`);
      await source.driver.start(ID);
      assert.deepEqual((await source.traces()).jobs, [], `${afterMs} ms`);
      await target.driver.receive(target.spec());
      await source.driver.migrate(ID, direct, control());
      await target.driver.start(ID);
      assert.equal((await target.driver.inspect(ID)).state, 'running');
      for (const host of [source, target]) {
        await host.driver.destroy(ID);
        await host.driver.close({ stopGuests: true });
        await host.prepare();
      }
    }
    await until(async () => (await processesIn(join(root, 'source'))).length === 0, 'nothing runs');
  });
});
