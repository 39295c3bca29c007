/**
 * The tests that every operation gets by being listed: each step twice, each step failing, each undo failing, a crash at
 * every write of the journal. What is special about an operation (how to begin it, what must hold afterwards) is its
 * world's business; what must hold of all operations is here.
 *
 * A failure counts only if the intended step failed, and a crash only if it came: a test whose fault never struck fails.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudError } from '#domain/errors.ts';
import type { OperationState } from '#domain/operation/operation.ts';
import type { AnyStep, Operation } from './define.ts';
import type { CrashPoint, JournalFaults, StepFaults, StepRun } from './faults.ts';
import type { JournalEntry } from './store.ts';

/** One operation on fresh things. */
export interface Trial {
  /** Resolves when it has ended, or needs attention. */
  rest(): Promise<{ readonly state: OperationState; readonly journal: readonly JournalEntry[] }>;
  /** Throws when something is not as it must be in that state: the server, its guest, images; or anything leaks. */
  check(state: OperationState, error: string | null): Promise<void>;
  resume(): Promise<void>;
  abandon(): Promise<void>;
}

/** A cloud that makes trials of one operation, with the faults woven in. */
export interface World extends AsyncDisposable {
  readonly steps: StepFaults;
  readonly journal: JournalFaults;
  /** Prepares what the operation needs, in peace; begins it when told to. */
  prepare(): Promise<{ begin(): Promise<Trial> }>;
  /** Throws conductor and agents away and builds them anew on the same data. */
  restart(): Promise<void>;
}

const INJECTED = 'the test wants it so';
const ATTEMPTS = 4;

/** Declares the tests of one operation. */
export function testOperation<Ports>(definition: Operation<Ports>, makeWorld: () => Promise<World>): void {
  const { kind, steps } = definition;
  const lastUndoable = steps.findIndex((step) => step.pointOfNoReturn);
  const turning = steps[lastUndoable === -1 ? steps.length - 1 : lastUndoable];
  if (!turning) throw new Error(`${kind} has no steps`);

  const tested = testsIn(kind, makeWorld);

  tested(`every step done twice ends as done`, async (world) => {
    const trial = await begun(world, async ({ run }) => same(await run(), await run()));
    await endsAs(trial, 'done');
  });

  tested(`every step taken back twice leaves nothing`, async (world) => {
    const trial = await begun(world, async (each) => {
      const output = await each.run();
      if (each.phase === 'undo') await each.run();
      if (each.step === turning.name && each.phase === 'do') throw injected(each.step);
      return output;
    });
    await endsUndone(trial, turning.name);
  });

  testBegunAndFailed(kind, definition, makeWorld);

  for (const step of steps.filter((each) => each.undo)) {
    const failingUndo = (times: number) => {
      let left = times;
      return async (each: StepRun) => {
        if (each.phase === 'undo' && each.step === step.name && left-- > 0) throw injected(each.step);
        const output = await each.run();
        if (each.phase === 'do' && each.step === step.name) throw injected(each.step);
        return output;
      };
    };
    const isStuck = async (trial: Trial) => {
      const { state, journal } = await trial.rest();
      assert.equal(state, 'needs_attention');
      assert.deepEqual(stepsWith(journal, 'undo_failed'), [step.name]);
      await trial.check('needs_attention', INJECTED);
    };

    tested(`taking back ${step.name} fails; resumed, it ends`, async (world) => {
      const trial = await begun(world, failingUndo(ATTEMPTS));
      await isStuck(trial);
      await trial.resume();
      await endsUndone(trial, step.name);
    });

    tested(`taking back ${step.name} fails; abandoned, it ends`, async (world) => {
      const trial = await begun(world, failingUndo(Infinity));
      await isStuck(trial);
      await trial.abandon();
      assert.equal((await trial.rest()).state, 'abandoned');
      world.steps.around = null;
      await trial.check('abandoned', INJECTED);
    });
  }

  tested(`a crash at every write ends as done`, async (world) => {
    const crashes = await crashEverywhere(world, null, (trial) => endsAs(trial, 'done'));
    assert.ok(crashes >= 2 * (steps.length + 1), `${crashes} crashes only`);
  });

  tested(`a crash at every write of a failure leaves nothing`, async (world) => {
    const fault = failing(turning.name, 'after', Infinity);
    const crashes = await crashEverywhere(world, fault, (trial) => endsUndone(trial, turning.name));
    assert.ok(crashes >= 4, `${crashes} crashes only`);
  });
}

/** The part of them that is also run under other conditions: it ends well, and with each step failing. */
export function testBegunAndFailed<Ports>(
  name: string,
  { steps }: Operation<Ports>,
  makeWorld: () => Promise<World>,
): void {
  const tested = testsIn(name, makeWorld);

  tested('nothing fails, it ends as done', async (world) => {
    await endsAs(await begun(world, null), 'done');
  });

  for (const step of steps) {
    for (const when of ['before', 'after'] as const) {
      tested(`${step.name} fails ${when} it took effect`, async (world) => {
        const trial = await begun(world, failing(step.name, when, isPastNoReturn(steps, step) ? 3 : Infinity));
        // What cannot go back goes on until it succeeds.
        if (isPastNoReturn(steps, step)) await endsAs(trial, 'done');
        else await endsUndone(trial, step.name);
      });
    }
  }
}

/** Declares tests that have a world of their own. Of two errors the first is told: not that of clearing up after it. */
function testsIn(name: string, makeWorld: () => Promise<World>) {
  return (sentence: string, body: (world: World) => Promise<void>) =>
    test(`${name}: ${sentence}`, async () => {
      try {
        await using world = await makeWorld();
        await body(world);
      } catch (error) {
        throw error instanceof SuppressedError ? error.suppressed : error;
      }
    });
}

/** Crashes before and after the first write, the second, … until the operation needs no more. Answers how often. */
async function crashEverywhere(
  world: World,
  fault: StepFaults['around'],
  ends: (trial: Trial) => Promise<void>,
): Promise<number> {
  let crashes = 0;
  for (let write = 1; ; write++) {
    for (const when of ['before', 'after'] as const) {
      const point: CrashPoint = { write, when };
      const prepared = await world.prepare();
      world.steps.around = fault;
      const crash = world.journal.arm(point).then(() => 'crashed' as const);
      const trial = await prepared.begin();
      const first = await Promise.race([crash, trial.rest().then(() => 'rested' as const)]);
      world.journal.disarm();
      if (first === 'crashed') {
        crashes += 1;
        await world.restart();
      }
      await ends(trial).catch((error: unknown) => {
        throw new Error(`crash ${when} write ${write}: ${(error as Error).message}`, { cause: error });
      });
      world.steps.around = null;
      if (first === 'rested') return crashes;
    }
  }
}

async function begun(world: World, around: StepFaults['around']): Promise<Trial> {
  const prepared = await world.prepare();
  world.steps.around = around;
  return prepared.begin();
}

async function endsAs(trial: Trial, state: 'done'): Promise<void> {
  const rest = await trial.rest();
  assert.equal(rest.state, state, JSON.stringify(rest.journal));
  await trial.check(state, null);
}

async function endsUndone(trial: Trial, failed: string): Promise<void> {
  const { state, journal } = await trial.rest();
  assert.equal(state, 'undone', JSON.stringify(journal));
  assert.deepEqual(stepsWith(journal, 'failed'), [failed], 'the intended step failed, and no other');
  await trial.check('undone', INJECTED);
}

function failing(name: string, when: 'before' | 'after', times: number): (each: StepRun) => Promise<unknown> {
  let left = times;
  return async ({ step, phase, run }) => {
    const strikes = phase === 'do' && step === name && left-- > 0;
    if (strikes && when === 'before') throw injected(step);
    const output = await run();
    if (strikes) throw injected(step);
    return output;
  };
}

function injected(step: string): CloudError {
  return new CloudError('hypervisorFailed', { what: step, reason: INJECTED });
}

function isPastNoReturn<Ports>(steps: readonly AnyStep<Ports>[], step: AnyStep<Ports>): boolean {
  return steps.slice(0, steps.indexOf(step)).some((each) => each.pointOfNoReturn);
}

function stepsWith(journal: readonly JournalEntry[], event: JournalEntry['event']): string[] {
  return [...new Set(journal.filter((entry) => entry.event === event).map((entry) => entry.step))];
}

/** The second answer must be the first, but for times and for what a repeat may know better. */
function same(first: unknown, second: unknown): unknown {
  const timeless = (output: unknown) =>
    Object.fromEntries(Object.entries(output ?? {}).filter(([key]) => !/At$|^cached$|^considered$/.test(key)));
  assert.deepEqual(timeless(second), timeless(first));
  return first;
}
