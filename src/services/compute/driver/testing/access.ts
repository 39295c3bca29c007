/** Ways into a guest: its screen, its serial line, its agent, its kernel. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { test } from 'node:test';
import type { Driver } from '../driver.ts';
import { type Bench, ID, stateOf, until, watch } from './bench.ts';

/** Registers these tests. */
export function accessConformance<D extends Driver>(bench: Bench<D>): void {
  for (const state of ['running', 'paused'] as const) {
    test(`the screen of a ${state} guest speaks RFB, to several viewers`, async () => {
      const driver = await bench[state]();
      const screens = [await driver.openConsole(ID, 'vnc'), await driver.openConsole(ID, 'vnc')];
      for (const screen of screens) {
        assert.match(await firstWords(screen), /^RFB 003\.008\n/);
        assert.ok(!screen.destroyed);
        screen.destroy();
      }
    });
  }

  test('the serial line has one viewer, who is the last', async () => {
    const driver = await bench.running();
    const first = await driver.openConsole(ID, 'serial');
    const firstEnd = once(first, 'close');
    await firstWords(first);
    const second = await driver.openConsole(ID, 'serial');
    await firstEnd;
    assert.notEqual(await firstWords(second), '');
    const secondEnd = once(second, 'close');
    await driver.stop(ID, 0);
    await secondEnd;
  });

  test('a console that nobody reads holds up nothing', async () => {
    const driver = await bench.running();
    const serial = await driver.openConsole(ID, 'serial');
    await driver.destroy(ID);
    assert.equal(await stateOf(driver), 'absent');
    serial.destroy();
  });

  test('a guest without an agent: no password can be set', async () => {
    const driver = await bench.running();
    await assert.rejects(driver.setPassword(ID, 'root', 'secret'), { code: 'guest_agent' });
  });

  test('a guest survives non-maskable interrupts, running and paused; without a process it gets none', async () => {
    const driver = await bench.running();
    await bench.subject.booted(driver, ID);
    await driver.injectNmi(ID);
    await driver.injectNmi(ID);
    assert.equal(await stateOf(driver), 'running');
    await driver.pause(ID);
    await driver.injectNmi(ID);
    assert.equal(await stateOf(driver), 'paused');
    await driver.suspend(ID, watch().control);
    await assert.rejects(driver.injectNmi(ID), { code: 'not_running' });
    await driver.stop(ID, 0);
    await assert.rejects(driver.injectNmi(ID), { code: 'not_running' });
  });
}

/** The next that comes out of a console, which it must. */
async function firstWords(console: Duplex): Promise<string> {
  let text = '';
  console.on('data', (bytes: Buffer) => {
    text += bytes;
  });
  await until(async () => text !== '', 'the console says something');
  return text;
}
