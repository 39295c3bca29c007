/** A guest from its making to its end: create, start, stop, pause, reboot, destroy, and what is told of it. */

import assert from 'node:assert/strict';
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Driver, GuestEvent, GuestState } from '../driver.ts';
import { type Bench, childAt, eventsOf, ID, processesIn, snapshotOf, stateOf, until, watch } from './bench.ts';

const LONG_MS = 120_000;

/** Registers these tests. */
export function lifeConformance<D extends Driver>(bench: Bench<D>): void {
  test('tells what it can do and what the host has', async () => {
    const driver = bench.open();
    const [capabilities, inventory] = await Promise.all([driver.capabilities(), driver.inventory()]);
    assert.ok(['kvm', 'tcg', 'none'].includes(capabilities.accelerator));
    assert.ok(capabilities.maxMemoryMib > 0);
    for (const amount of [inventory.vcpus, inventory.memoryMib, inventory.diskGib]) assert.ok(amount > 0);
    assert.ok(inventory.hypervisorVersion >= 1_000_000, 'major * 1000000 + minor * 1000 + micro');
  });

  test('an absent guest: stop and destroy do nothing, start and backup refuse', async () => {
    const driver = bench.open();
    assert.equal(await stateOf(driver), 'absent');
    await driver.stop(ID, 0);
    await driver.destroy(ID);
    assert.equal(await driver.consoleOutput(ID, 100), '');
    await assert.rejects(driver.start(ID), { code: 'guest_not_found' });
    await assert.rejects(driver.backupDisk(ID, join(bench.root, 'out'), watch().control), { code: 'guest_not_found' });
    assert.deepEqual(await driver.recover(), []);
    assert.deepEqual(await readdir(bench.instancesDir), []);
  });

  test('an id that leaves the instances folder is refused', async () => {
    const driver = bench.open();
    await assert.rejects(driver.create(bench.subject.spec('../outside')), { code: 'bad_spec' });
    await assert.rejects(driver.destroy('..'), { code: 'bad_spec' });
  });

  test('create twice, also at once: a stopped guest, and the second changes nothing', async () => {
    const driver = bench.open();
    await Promise.all([driver.create(bench.spec), driver.create(bench.spec)]);
    const before = await snapshotOf(join(bench.instancesDir, ID));
    await driver.create(bench.spec);
    assert.deepEqual(await snapshotOf(join(bench.instancesDir, ID)), before);
    assert.equal(await stateOf(driver), 'stopped');
    assert.equal(await driver.consoleOutput(ID, 100), '');
    assert.deepEqual(await driver.recover(), [{ id: ID, state: 'stopped' }]);
  });

  test('start and stop, each twice, and again', async () => {
    const driver = await bench.created();
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
      await mkdir(join(bench.dir, 'left-over'), { recursive: true });
      return bench.open();
    },
    stopped: bench.created,
    running: bench.running,
    paused: bench.paused,
    suspended: bench.suspended,
    crashed: bench.crashed,
  };
  for (const [state, begin] of Object.entries(beginnings)) {
    test(`destroy a ${state} guest, twice: nothing is left`, async () => {
      const driver = await begin();
      await driver.destroy(ID);
      await driver.destroy(ID);
      assert.equal(await stateOf(driver), 'absent');
      assert.deepEqual(await readdir(bench.instancesDir), []);
      assert.deepEqual(await processesIn(bench.dir), []);
    });
  }

  test('the guest prints on its console, and only the end is read', async () => {
    const driver = await bench.running();
    await until(async () => (await driver.consoleOutput(ID, 1000)).length >= 10, 'the console has output');
    assert.equal((await driver.consoleOutput(ID, 4)).length, 4);
    await driver.stop(ID, 0);
    assert.ok((await driver.consoleOutput(ID, 1000)).length >= 10, 'it can be read after the guest has ended');
  });

  for (const state of ['paused', 'suspended', 'crashed'] as const) {
    test(`a ${state} guest executes after start, and is stopped after stop`, async () => {
      const driver = await bench[state]();
      const events = eventsOf(driver);
      assert.equal(await stateOf(driver), state);
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
      await driver.stop(ID, 0);
      if (state !== 'crashed') await driver.start(ID);
      if (state === 'paused') await driver.pause(ID);
      if (state === 'suspended') await driver.suspend(ID, watch().control);
      await driver.stop(ID, LONG_MS);
      await driver.stop(ID, 0);
      assert.equal(await stateOf(driver), 'stopped');
      await driver.start(ID);
      assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'running' });
      assert.deepEqual(events, [], 'what was ordered is no news');
    });
  }

  test('pause, twice, also by one that did not start it', async () => {
    const driver = await bench.running();
    const events = eventsOf(driver);
    await driver.pause(ID);
    await driver.pause(ID);
    assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'paused' });
    await driver.close({ stopGuests: false });
    const second = bench.open();
    assert.deepEqual(await second.recover(), [{ id: ID, state: 'paused' }]);
    await second.start(ID);
    await second.pause(ID);
    assert.equal(await stateOf(second), 'paused');
    assert.deepEqual(events, []);
  });

  const impossible = [
    ['absent', 'guest_not_found', async () => bench.open()],
    ['stopped', 'not_running', bench.created],
    ['crashed', 'not_running', bench.crashed],
  ] as const;
  for (const [state, code, begin] of impossible) {
    test(`a guest that is ${state} cannot be paused, suspended, watched or interrupted`, async () => {
      const driver = await begin();
      await assert.rejects(driver.pause(ID), { code });
      await assert.rejects(driver.suspend(ID, watch().control), { code });
      await assert.rejects(driver.openConsole(ID, 'vnc'), { code });
      await assert.rejects(driver.openConsole(ID, 'serial'), { code });
      await assert.rejects(driver.injectNmi(ID), { code });
      await assert.rejects(driver.setPassword(ID, 'root', 'secret'), { code });
      assert.equal(await stateOf(driver), state);
    });
  }

  test('reboot of one that runs: the same process goes on, and nothing is told', async () => {
    const driver = await bench.running();
    const events = eventsOf(driver);
    await bench.subject.booted(driver, ID);
    const before = await processesIn(bench.dir);
    assert.equal(await driver.reboot(ID, LONG_MS), true);
    assert.deepEqual(await driver.inspect(ID), { id: ID, state: 'running' });
    assert.deepEqual(await processesIn(bench.dir), before);
    await bench.subject.crash(driver, bench.instancesDir, ID);
    await until(async () => events.length > 0, 'its end is news as ever');
    assert.deepEqual(
      events.map(({ state }) => state),
      ['crashed'],
    );
  });

  const others = { stopped: 'created', crashed: 'crashed', paused: 'paused', suspended: 'suspended' } as const;
  for (const [state, begin] of Object.entries(others)) {
    test(`reboot of a ${state} guest starts it`, async () => {
      const driver = await bench[begin]();
      assert.equal(await driver.reboot(ID, 0), true);
      assert.equal(await stateOf(driver), 'running');
    });
  }

  test('reboot with no time, and of a guest that is not there', async () => {
    const driver = await bench.running();
    assert.equal(await driver.reboot(ID, 0), false);
    assert.equal(await stateOf(driver), 'running');
    await driver.destroy(ID);
    await assert.rejects(driver.reboot(ID, 0), { code: 'guest_not_found' });
  });

  for (const verb of ['stop', 'reboot'] as const) {
    test(`an aborted ${verb} leaves the guest running, and what happens to it then is news`, async () => {
      const driver = await bench.running();
      const events = eventsOf(driver);
      bench.subject.deafen(driver, ID);
      await assert.rejects(driver[verb](ID, LONG_MS, AbortSignal.abort()), { code: 'aborted' });
      const abort = new AbortController();
      const patient = driver[verb](ID, LONG_MS, abort.signal);
      assert.equal(await stateOf(driver), 'running');
      abort.abort();
      await assert.rejects(patient, { code: 'aborted' });
      assert.equal(await stateOf(driver), 'running');
      await bench.subject.crash(driver, bench.instancesDir, ID);
      await until(async () => events.length > 0, 'the crash is told');
    });

    test(`destroy does not wait for a patient ${verb}`, async () => {
      const driver = await bench.running();
      bench.subject.deafen(driver, ID);
      const abort = new AbortController();
      const patient = driver[verb](ID, LONG_MS, abort.signal).then(
        () => undefined,
        () => undefined, // it may hear that the guest is gone, or not
      );
      assert.equal(await stateOf(driver), 'running');
      await driver.destroy(ID);
      assert.deepEqual(await readdir(bench.instancesDir), []);
      abort.abort();
      await patient;
      assert.deepEqual(await readdir(bench.instancesDir), []);
    });
  }

  test('a guest that ran when the host went down is known for it until it is started or stopped', async () => {
    const first = await bench.running();
    await first.close({ stopGuests: false });
    for (const verb of ['start', 'stop'] as const) {
      await bench.subject.loseWithHost(bench.instancesDir, ID);
      const driver = bench.open();
      const lost = { id: ID, state: 'stopped', lostWithHost: true };
      assert.deepEqual(await driver.recover(), [lost]);
      assert.deepEqual(await driver.recover(), [lost]);
      await (verb === 'start' ? driver.start(ID) : driver.stop(ID, 0));
      const state: GuestState = verb === 'start' ? 'running' : 'stopped';
      assert.deepEqual(await driver.inspect(ID), { id: ID, state });
      await driver.close({ stopGuests: false });
    }
  });

  for (const state of ['stopped', 'suspended'] as const) {
    test(`a ${state} guest is not lost with the host`, async () => {
      const first = await bench[state === 'stopped' ? 'created' : 'suspended']();
      await first.close({ stopGuests: false });
      await bench.subject.loseWithHost(bench.instancesDir, ID);
      assert.deepEqual(await bench.open().recover(), [{ id: ID, state }]);
    });
  }

  test('a crash is told once, stays visible, and start or stop get out of it', async () => {
    const driver = await bench.running();
    const events: GuestEvent[] = [];
    const off = driver.onEvent((event) => events.push(event));
    await bench.subject.crash(driver, bench.instancesDir, ID);
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
    await bench.subject.crash(driver, bench.instancesDir, ID);
    await until(async () => (await stateOf(driver)) === 'crashed', 'the second crash is seen');
    await driver.stop(ID, 0);
    assert.equal(await stateOf(driver), 'stopped');
    assert.equal(events.length, 1, 'nothing is told to a listener that has left');
  });

  test('stop and destroy are no news', async () => {
    const driver = await bench.running();
    const events: GuestEvent[] = [];
    driver.onEvent((event) => events.push(event));
    await driver.stop(ID, 0);
    await driver.start(ID);
    await driver.destroy(ID);
    await driver.inspect(ID);
    assert.deepEqual(events, []);
  });

  test('guests run on when the driver lets go of them, and end when it is told to end them', async () => {
    const first = await bench.running();
    await first.close({ stopGuests: false });
    const second = bench.open();
    assert.deepEqual(await second.recover(), [{ id: ID, state: 'running' }]);
    await second.close({ stopGuests: true });
    assert.equal(await stateOf(bench.open()), 'stopped');
  });

  for (const stage of ['created', 'started'] as const) {
    test(`the process is killed when it has ${stage} a guest: a new one carries on`, async () => {
      const kill = await childAt(bench.subject, bench.instancesDir, bench.spec, stage);
      await kill();
      const driver = bench.open();
      const recovered = await driver.recover();
      assert.deepEqual(
        recovered.map(({ id }) => id),
        [ID],
      );
      if (stage === 'started') assert.equal(recovered[0]?.state, 'running');
      await driver.create(bench.spec);
      await driver.start(ID);
      assert.equal(await stateOf(driver), 'running');
      const events: GuestEvent[] = [];
      driver.onEvent((event) => events.push(event));
      await bench.subject.crash(driver, bench.instancesDir, ID);
      await until(async () => events.length > 0, 'a guest that was found again is watched, too');
    });
  }
}
