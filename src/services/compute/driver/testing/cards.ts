/** Network cards that come and go. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Driver, GuestNic } from '../driver.ts';
import { type Bench, ID, stateOf, watch } from './bench.ts';

const nicAt = (index: number): GuestNic => ({ mac: `fa:16:3e:00:00:${(16 + index).toString(16)}` });

/** Registers these tests. */
export function cardConformance<D extends Driver>(bench: Bench<D>): void {
  const macs = async (driver: Driver) => (await driver.spec(ID))?.nics.map(({ mac }) => mac);

  test('plug and unplug of a stopped guest, each twice', async () => {
    const driver = await bench.created();
    const before = (await macs(driver)) ?? [];
    await driver.plug(ID, nicAt(0));
    await driver.plug(ID, nicAt(0));
    assert.deepEqual(await macs(driver), [...before, nicAt(0).mac]);
    await driver.unplug(ID, nicAt(0).mac);
    await driver.unplug(ID, nicAt(0).mac);
    assert.deepEqual(await macs(driver), before);
    await driver.start(ID);
    assert.equal(await stateOf(driver), 'running');
  });

  for (const state of ['running', 'paused'] as const) {
    test(`a card plugged into a ${state} guest, twice, is there after a suspend and after a boot`, async () => {
      const driver = await bench[state]();
      const before = (await macs(driver)) ?? [];
      await driver.plug(ID, nicAt(0));
      await driver.plug(ID, nicAt(0));
      assert.equal(await stateOf(driver), state);
      await driver.suspend(ID, watch().control);
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
      await driver.stop(ID, 0);
      await driver.unplug(ID, before[0] ?? '');
      await driver.plug(ID, nicAt(1));
      await driver.start(ID);
      assert.deepEqual(await macs(driver), [...before.slice(1), nicAt(0).mac, nicAt(1).mac]);
      assert.equal(await stateOf(driver), 'running');
    });
  }

  test('there is room for eight, and a guest that is suspended or absent gets none', async () => {
    const driver = await bench.running();
    const had = (await macs(driver))?.length ?? 0;
    for (let index = had; index < 8; index++) await driver.plug(ID, nicAt(index));
    await assert.rejects(driver.plug(ID, nicAt(8)), { code: 'command_failed' });
    assert.equal((await macs(driver))?.length, 8);
    await driver.suspend(ID, watch().control);
    await assert.rejects(driver.plug(ID, nicAt(8)), { code: 'not_running' });
    await assert.rejects(driver.unplug(ID, nicAt(7).mac), { code: 'not_running' });
    await driver.destroy(ID);
    await assert.rejects(driver.plug(ID, nicAt(8)), { code: 'guest_not_found' });
  });
}
