/** A guest that goes from one host to another without being stopped, and back, and half-way. */

import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { Driver, JobControl, MoveStream } from '../driver.ts';
import { assertProgress, type Bench, childAt, eventsOf, ID, processesIn, stateOf, watch } from './bench.ts';
import { wire } from './wire.ts';

const GONE = { id: ID, state: 'paused', reason: 'it has gone to another host' } as const;
const COMES = { id: ID, state: 'paused', reason: 'it comes from another host' } as const;
const MOVING: readonly MoveStream[] = ['disks', 'memory'];

/** Registers these tests. */
export function movingConformance<D extends Driver>(bench: Bench<D>): void {
  const to = (target: Driver) => (stream: MoveStream) => target.openIncoming(ID, stream);
  /** A guest in that state, and another host that expects it. */
  const about = async (state: 'running' | 'paused') => {
    const source = await bench[state]();
    const target = bench.openElsewhere();
    await target.receive(bench.spec);
    return { source, target };
  };
  const moved = async (state: 'running' | 'paused') => {
    const both = await about(state);
    await both.source.migrate(ID, to(both.target), watch().control);
    return both;
  };
  const files = async () => (await readdir(bench.dir)).sort();
  const filesElsewhere = async () => (await readdir(join(bench.elsewhere, ID))).sort();

  for (const state of ['running', 'paused'] as const) {
    test(`a ${state} guest goes to another host, with progress, and is ${state} there`, async () => {
      const { source, target } = await about(state);
      const events = [source, target].map((driver) => eventsOf(driver));
      const { control, seen } = watch();
      await source.migrate(ID, to(target), control);
      assertProgress(seen);
      assert.ok((seen.at(-1)?.total ?? 0) >= bench.spec.memoryMib * 2 ** 20, 'progress is about its memory, too');
      assert.deepEqual([await source.inspect(ID), await target.inspect(ID)], [GONE, COMES]);
      for (let twice = 0; twice < 2; twice++) await target[state === 'running' ? 'start' : 'pause'](ID);
      await source.destroy(ID);
      assert.deepEqual(await target.inspect(ID), { id: ID, state });
      assert.deepEqual(await target.spec(ID), bench.spec);
      assert.equal(await stateOf(source), 'absent');
      assert.deepEqual(events, [[], []], 'what was ordered is no news');
      await target.start(ID);
      await target.stop(ID, 0);
      await target.start(ID);
      assert.deepEqual(await target.inspect(ID), { id: ID, state: 'running' });
    });

    test(`the way back: a ${state} guest goes on where it was, and can go again`, async () => {
      const { source, target } = await moved(state);
      const before = await files();
      await target.destroy(ID);
      await source[state === 'running' ? 'start' : 'pause'](ID);
      assert.deepEqual(await source.inspect(ID), { id: ID, state });
      assert.deepEqual(await files(), before);
      await target.receive(bench.spec);
      await source.migrate(ID, to(target), watch().control);
      await target.start(ID);
      await source.destroy(ID);
      await source.receive(bench.spec);
      await target.migrate(ID, to(source), watch().control);
      await source.start(ID);
      assert.deepEqual(await source.inspect(ID), { id: ID, state: 'running' });
    });

    test(`once more although it has gone: a ${state} guest goes on here before it goes again`, async () => {
      const { source, target } = await moved(state);
      await target.receive(bench.spec);
      await source.migrate(ID, to(target), watch().control);
      assert.deepEqual([await source.inspect(ID), await target.inspect(ID)], [GONE, COMES]);
      const failed = source.migrate(ID, () => Promise.reject(new Error('no way')), watch().control);
      await assert.rejects(failed, /no way/);
      assert.deepEqual(await source.inspect(ID), { id: ID, state });
    });

    for (const stream of MOVING) {
      const attempt = async (what: (abort: AbortController, far: Duplex) => Promise<unknown> | undefined) => {
        const { source, target } = await about(state);
        const before = await files();
        const events = eventsOf(source);
        const abort = new AbortController();
        const open = async (name: MoveStream) => {
          const far = await target.openIncoming(ID, name);
          return name === stream ? wire(far, () => what(abort, far)) : far;
        };
        const control: JobControl = { signal: abort.signal, onProgress: () => undefined };
        const failure = await source.migrate(ID, open, control).catch((error: unknown) => error);
        assert.deepEqual(await source.inspect(ID), { id: ID, state });
        assert.deepEqual(await files(), before);
        assert.deepEqual(events, []);
        await target.receive(bench.spec);
        assert.deepEqual(await target.inspect(ID), COMES);
        await source.migrate(ID, to(target), watch().control);
        await target.start(ID);
        assert.deepEqual(await target.inspect(ID), { id: ID, state: 'running' });
        return failure as { code?: string };
      };

      test(`called off while its ${stream} ${verb(stream)} sent, a guest stays ${state}, and can go after that`, async () => {
        const failure = await attempt((abort) => {
          abort.abort();
          return Promise.withResolvers().promise;
        });
        assert.equal(failure.code, 'aborted');
      });

      test(`the stream of its ${stream} breaks: a guest stays ${state}, and can go after that`, async () => {
        const failure = await attempt(() => Promise.reject(new Error('cut')));
        assert.ok(failure instanceof Error && failure.code !== 'aborted');
      });

      test(`the other host’s guest goes while the ${stream} ${verb(stream)} sent: a guest stays ${state}`, async () => {
        const failure = await attempt((_abort, far) => {
          far.destroy();
          return undefined;
        });
        assert.ok(failure instanceof Error);
      });
    }
  }

  test('called off before it began', async () => {
    const { source, target } = await about('running');
    const control = { ...watch().control, signal: AbortSignal.abort() };
    await assert.rejects(source.migrate(ID, to(target), control), { code: 'aborted' });
    assert.deepEqual(await source.inspect(ID), { id: ID, state: 'running' });
  });

  test('called off while the other host does not even answer', async () => {
    const { source } = await about('running');
    const abort = new AbortController();
    const open = () => {
      abort.abort();
      return Promise.withResolvers<Duplex>().promise;
    };
    const migrating = source.migrate(ID, open, { ...watch().control, signal: abort.signal });
    await assert.rejects(migrating, { code: 'aborted' });
    assert.deepEqual(await source.inspect(ID), { id: ID, state: 'running' });
  });

  test('a guest that is expected is no guest yet: nothing is done with it before it has come', async () => {
    const target = bench.openElsewhere();
    await target.receive(bench.spec);
    const began = await filesElsewhere();
    await target.receive(bench.spec);
    assert.deepEqual(await filesElsewhere(), began);
    assert.deepEqual(await target.inspect(ID), COMES);
    for (const verb of ['start', 'pause'] as const) await assert.rejects(target[verb](ID), { code: 'command_failed' });
    const { control } = watch();
    const nothing = { code: 'not_running' };
    await assert.rejects(target.suspend(ID, control), nothing);
    await assert.rejects(target.reboot(ID, 1000), nothing);
    await assert.rejects(target.reconfigure({ ...bench.spec, memoryMib: 64 }), nothing);
    await assert.rejects(target.backupDisk(ID, join(bench.root, 'backup'), control), nothing);
    await assert.rejects(target.injectNmi(ID), nothing);
    await assert.rejects(target.migrate(ID, to(target), control), nothing);
    assert.deepEqual(await target.inspect(ID), COMES);
    await target.stop(ID, 0);
    assert.match((await target.inspect(ID)).damage ?? '', /has not come/);
    await assert.rejects(target.start(ID), { code: 'guest_damaged' });
    await assert.rejects(target.openIncoming(ID, 'disks'), nothing);
    await target.destroy(ID);
    assert.deepEqual(await readdir(bench.elsewhere), []);
    assert.deepEqual(await processesIn(bench.elsewhere), []);
  });

  test('a guest that has gone: what would let it execute in passing is refused, and it can be stopped', async () => {
    const { source } = await moved('running');
    await assert.rejects(source.suspend(ID, watch().control), { code: 'not_running' });
    await assert.rejects(source.reboot(ID, 0), { code: 'not_running' });
    assert.deepEqual(await source.inspect(ID), GONE);
    await source.stop(ID, 0);
    assert.deepEqual(await source.inspect(ID), { id: ID, state: 'stopped' });
    await source.start(ID);
    assert.deepEqual(await source.inspect(ID), { id: ID, state: 'running' });
  });

  test('who is here is not received, who does not run is not sent, and nobody hurries who is not sent', async () => {
    const source = await bench.created();
    await assert.rejects(source.receive(bench.spec), { code: 'command_failed' });
    await assert.rejects(source.openIncoming(ID, 'memory'), { code: 'not_running' });
    const nowhere = () => Promise.reject(new Error('nobody asked'));
    await assert.rejects(source.migrate(ID, nowhere, watch().control), { code: 'not_running' });
    await source.start(ID);
    await source.suspend(ID, watch().control);
    await assert.rejects(source.migrate(ID, nowhere, watch().control), { code: 'not_running' });
    await assert.rejects(source.hurry(ID), { code: 'command_failed' });
    assert.equal(await stateOf(source), 'suspended');
  });

  test('destroyed while it is sent, nothing is left of it', async () => {
    const { source, target } = await about('running');
    const reached = Promise.withResolvers<void>();
    const open = async (stream: MoveStream) =>
      wire(await target.openIncoming(ID, stream), () => {
        reached.resolve();
        return Promise.withResolvers().promise;
      });
    const migrating = assert.rejects(source.migrate(ID, open, watch().control));
    await reached.promise;
    await source.destroy(ID);
    await migrating;
    assert.equal(await stateOf(source), 'absent');
    assert.deepEqual(await readdir(bench.instancesDir), []);
    assert.deepEqual(await processesIn(bench.dir), []);
  });

  for (const stage of ['migrating', 'migrated'] as const) {
    test(`the processes of both hosts are killed when a guest is ${stage}: it is in one place, and can go`, async () => {
      const deed = { migrateTo: bench.elsewhere };
      const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, stage, deed);
      await kill();
      const source = bench.open();
      const target = bench.openElsewhere();
      const [recovered] = await source.recover();
      const [there] = await target.recover();
      if (stage === 'migrated') assert.deepEqual([recovered, there], [GONE, COMES]);
      else assert.deepEqual(recovered, { id: ID, state: 'running' });
      await target.receive(bench.spec);
      await source.migrate(ID, to(target), watch().control);
      await target.start(ID);
      await source.destroy(ID);
      assert.deepEqual(await target.inspect(ID), { id: ID, state: 'running' });
    });
  }

  for (const way of ['there', 'back'] as const) {
    test(`the processes of both hosts are killed when a guest has moved: it goes on ${way}`, async () => {
      const deed = { migrateTo: bench.elsewhere };
      const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, 'migrated', deed);
      await kill();
      const drivers = { back: bench.open(), there: bench.openElsewhere() };
      await drivers[way].start(ID);
      await drivers[way === 'back' ? 'there' : 'back'].destroy(ID);
      assert.deepEqual(await drivers[way].inspect(ID), { id: ID, state: 'running' });
    });
  }
}

function verb(stream: MoveStream): string {
  return stream === 'disks' ? 'are' : 'is';
}
