/** A guest whose memory goes to a file and comes back. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver } from '../driver.ts';
import { assertProgress, type Bench, childAt, eventsOf, ID, processesIn, stateOf, watch } from './bench.ts';

/** Registers these tests. */
export function memoryConformance<D extends Driver>(bench: Bench<D>): void {
  for (const state of ['running', 'paused'] as const) {
    test(`suspend a ${state} guest, twice, with progress: no process is left, and start continues it`, async () => {
      const driver = await bench[state]();
      const events = eventsOf(driver);
      const { control, seen } = watch();
      await driver.suspend(ID, control);
      await driver.suspend(ID, watch().control);
      assertProgress(seen);
      assert.equal(await stateOf(driver), 'suspended');
      assert.deepEqual(await processesIn(bench.dir), []);
      await driver.close({ stopGuests: true });
      const second = bench.open();
      assert.deepEqual(await second.recover(), [{ id: ID, state: 'suspended' }]);
      for (let round = 0; round < 2; round += 1) {
        await Promise.all([second.start(ID), second.start(ID)]);
        assert.deepEqual(await second.inspect(ID), { id: ID, state: 'running' });
        await second.suspend(ID, watch().control);
      }
      assert.equal(await stateOf(second), 'suspended');
      assert.deepEqual(events, [], 'what was ordered is no news');
    });

    test(`an aborted suspend leaves a guest ${state}, and can be repeated`, async () => {
      const driver = await bench[state]();
      const aborted = { ...watch().control, signal: AbortSignal.abort() };
      await assert.rejects(driver.suspend(ID, aborted), { code: 'aborted' });
      const abort = new AbortController();
      const control = { signal: abort.signal, onProgress: () => abort.abort() };
      await assert.rejects(driver.suspend(ID, control), { code: 'aborted' });
      assert.deepEqual(await driver.inspect(ID), { id: ID, state });
      await driver.suspend(ID, watch().control);
      assert.equal(await stateOf(driver), 'suspended');
    });
  }

  test('pause, password, NMI and consoles need more than a memory file', async () => {
    const driver = await bench.suspended();
    const code = 'not_running';
    await assert.rejects(driver.pause(ID), { code });
    await assert.rejects(driver.setPassword(ID, 'root', 'secret'), { code });
    await assert.rejects(driver.injectNmi(ID), { code });
    await assert.rejects(driver.openConsole(ID, 'serial'), { code });
    assert.equal(await stateOf(driver), 'suspended');
  });

  for (const stage of ['suspending', 'suspended'] as const) {
    test(`the process is killed when it is ${stage} a guest: a new one does it again, and continues it`, async () => {
      const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, stage, 'suspend');
      await kill();
      const driver = bench.open();
      const [recovered] = await driver.recover();
      assert.ok(recovered);
      const allowed = stage === 'suspended' ? ['suspended'] : ['running', 'paused', 'suspended'];
      assert.ok(allowed.includes(recovered.state), recovered.state);
      await driver.suspend(ID, watch().control);
      assert.equal(await stateOf(driver), 'suspended');
      assert.deepEqual(await processesIn(bench.dir), []);
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
    });
  }

  test('the process is killed while it is suspending a guest: start lets it go on', async () => {
    const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, 'suspending', 'suspend');
    await kill();
    const driver = bench.open();
    await driver.start(ID);
    assert.equal(await stateOf(driver), 'running');
  });
}
