/**
 * The tests that every operation gets by being listed: each step twice, each step failing, each undo failing, a crash at
 * every write of the journal. What is special about an operation (how to begin it, what must hold afterwards) is its
 * world's business; what must hold of all operations is here.
 *
 * A failure counts only if the intended step failed, and a crash only if it came: a test whose fault never struck fails.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { CloudError } from '#domain/errors.ts';
import type { OperationState } from '#domain/operation/operation.ts';
import type { AnyStep, Operation } from './define.ts';
import type { JournalFaults, StepFaults, StepRun } from './faults.ts';
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

/** A cloud that makes trials of one operation, one after the other, with the faults woven in. */
export interface World extends AsyncDisposable {
  readonly steps: StepFaults;
  readonly journal: JournalFaults;
  /** Removes what the last trial left, and prepares in peace what the operation needs; it begins when told to. */
  prepare(): Promise<{ begin(): Promise<Trial> }>;
  /** Throws conductor and agents away and builds them anew on the same data. */
  restart(): Promise<void>;
}

const INJECTED = 'the test wants it so';
const ATTEMPTS = 4;

/** Declares the tests of one operation. */
export function testOperation<Ports>(
  name: string,
  definition: Operation<Ports>,
  makeWorld: () => Promise<World>,
): void {
  const { steps } = definition;
  const turning = turningPoint(definition);
  suite(name, makeWorld, (tested) => {
    repeated(tested, definition);
    begunAndFailed(tested, definition);
    for (const step of steps.filter((each) => each.undo)) failingUndo(tested, step);
    for (const step of steps.filter((each) => isPastNoReturn(steps, each))) failingOnwards(tested, step);

    tested(`a crash at every write ends as done`, async (world) => {
      const crashes = await crashEverywhere(world, null, (trial) => endsAs(trial, 'done'));
      assert.ok(crashes >= steps.length + 1, `${crashes} crashes only`);
    });

    tested(`a crash at every write of a failure leaves nothing`, async (world) => {
      const fault = failing(turning.name, 'after', Infinity);
      const crashes = await crashEverywhere(world, fault, (trial) => endsUndone(trial, turning.name));
      assert.ok(crashes >= 2, `${crashes} crashes only`);
    });
  });
}

/** The part of them in which it matters in what state it begins; crashes have the same steps from every one. */
export function testFromState<Ports>(
  name: string,
  definition: Operation<Ports>,
  makeWorld: () => Promise<World>,
): void {
  suite(name, makeWorld, (tested) => {
    repeated(tested, definition);
    begunAndFailed(tested, definition);
  });
}

/** The part of them that is also run under other conditions: it ends well, and with each step failing. */
export function testBegunAndFailed<Ports>(
  name: string,
  definition: Operation<Ports>,
  makeWorld: () => Promise<World>,
): void {
  suite(name, makeWorld, (tested) => begunAndFailed(tested, definition));
}

type Tested = (sentence: string, body: (world: World) => Promise<void>) => void;

/** The last step that can fail for good. */
function turningPoint<Ports>({ kind, steps }: Operation<Ports>): AnyStep<Ports> {
  const turning = steps.find((step) => step.pointOfNoReturn) ?? steps.at(-1);
  if (!turning) throw new Error(`${kind} has no steps`);
  return turning;
}

function repeated<Ports>(tested: Tested, definition: Operation<Ports>): void {
  const turning = turningPoint(definition);

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
}

function begunAndFailed<Ports>(tested: Tested, { steps }: Operation<Ports>): void {
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

/** An undo that does not succeed needs attention; then it is resumed or abandoned. */
function failingUndo<Ports>(tested: Tested, step: AnyStep<Ports>): void {
  const failingTimes = (times: number) => {
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
    const trial = await begun(world, failingTimes(ATTEMPTS));
    await isStuck(trial);
    await trial.resume();
    await endsUndone(trial, step.name);
  });

  tested(`taking back ${step.name} fails; abandoned, it ends`, async (world) => {
    const trial = await begun(world, failingTimes(Infinity));
    await isStuck(trial);
    await trial.abandon();
    assert.equal((await trial.rest()).state, 'abandoned');
    world.steps.around = null;
    await trial.check('abandoned', INJECTED);
  });
}

/** What can go neither on nor back needs attention; resumed it ends as if nothing had been. */
function failingOnwards<Ports>(tested: Tested, step: AnyStep<Ports>): void {
  tested(`${step.name} fails past the point of no return; resumed, it ends as done`, async (world) => {
    const trial = await begun(world, failing(step.name, 'after', ATTEMPTS));
    assert.equal((await trial.rest()).state, 'needs_attention');
    await trial.check('needs_attention', INJECTED);
    await trial.resume();
    await endsAs(trial, 'done');
  });
}

/** Tests that share a world, since making one takes longer than most of them; one that failed leaves it to nobody. */
function suite(name: string, makeWorld: () => Promise<World>, declare: (tested: Tested) => void): void {
  describe(name, () => {
    let shared: World | undefined;
    after(() => shared?.[Symbol.asyncDispose]());
    declare((sentence, body) =>
      test(`${name}: ${sentence}`, async () => {
        shared ??= await makeWorld();
        const world = shared;
        try {
          await body(world);
          world.steps.around = null;
        } catch (error) {
          shared = undefined;
          // Of two errors the first is told: not that of clearing up after it.
          await Promise.resolve(world[Symbol.asyncDispose]()).catch(() => undefined);
          throw error;
        }
      }),
    );
  });
}

/**
 * Crashes before the first write, the second, … until the operation needs no more: the effect is there and the journal does
 * not know. Answers how often. The other side of each write is for the tests that kill whole processes.
 */
async function crashEverywhere(
  world: World,
  fault: StepFaults['around'],
  ends: (trial: Trial) => Promise<void>,
): Promise<number> {
  for (let write = 1; ; write++) {
    const prepared = await world.prepare();
    world.steps.around = fault;
    const crash = world.journal.arm({ write, when: 'before' }).then(() => 'crashed' as const);
    const trial = await prepared.begin();
    const first = await Promise.race([crash, trial.rest().then(() => 'rested' as const)]);
    world.journal.disarm();
    if (first === 'crashed') await world.restart();
    await ends(trial).catch((error: unknown) => {
      throw new Error(`crash before write ${write}: ${(error as Error).message}`, { cause: error });
    });
    world.steps.around = null;
    if (first === 'rested') return write - 1;
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
