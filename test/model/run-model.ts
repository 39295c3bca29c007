/** Runs many sequences on one cloud, several at a time, while the cloud is restarted now and then. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { testCloud } from '../cloud.ts';
import { prng } from '../fuzz/prng.ts';
import { Gate } from './gate.ts';
import { rulesOf, type Setting } from './rules.ts';
import { scriptOf } from './script.ts';
import { Sequence } from './sequence.ts';

const AT_ONCE = 8;
const RESTART_EVERY = 40;

/** `MICRONOVA_MODEL_SEED` repeats a run, `MICRONOVA_MODEL_SEQUENCE` only one sequence of it, `MICRONOVA_MODEL_SEQUENCES` says how many. */
const SEED = Number(process.env.MICRONOVA_MODEL_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ONLY = process.env.MICRONOVA_MODEL_SEQUENCE;
const COUNT = Number(process.env.MICRONOVA_MODEL_SEQUENCES ?? 1_000);

/** Declares the test. */
export function testModel(name: string, setting: Setting): void {
  test(`random sequences, ${name}: the record and the guests agree with a simple model`, async () => {
    // Of two errors the first is told: not that of clearing up after it.
    await runSequences(name, setting).catch((error: unknown) => {
      throw error instanceof SuppressedError ? error.suppressed : error;
    });
  });
}

async function runSequences(name: string, setting: Setting): Promise<void> {
  await using cloud = await testCloud({
    driver: 'fake',
    inMemory: true,
    config: {
      reclaim_seconds: setting.deletesSoftly ? 100_000 : 0,
      shelved_offload_seconds: setting.offloadsAtOnce ? 0 : -1,
    },
    overrides: {
      conductor: {
        lookEveryMs: 50,
        backOff: (_attempt, signal) => {
          signal.throwIfAborted();
          return new Promise((resolve) => setImmediate(resolve));
        },
      },
    },
  });
  const image = await cloud.registerImage(undefined, { hw_qemu_guest_agent: 'yes' });
  const rules = rulesOf(setting, image);
  const gate = new Gate();
  const stage = { cloud, gate, rules, image };
  let next = ONLY === undefined ? 0 : Number(ONLY);
  const end = ONLY === undefined ? COUNT : next + 1;
  let ended = 0;
  let steps = 0;
  let failure: string | null = null;
  const worker = async () => {
    while (next < end && failure === null) {
      const index = next++;
      const script = scriptOf(prng(SEED, index), Object.keys(rules));
      steps += script.length;
      try {
        await new Sequence(stage).run(script);
      } catch (error) {
        failure ??= `MICRONOVA_MODEL_SEED=${SEED} MICRONOVA_MODEL_SEQUENCE=${index} (${name}): ${(error as Error).message}`;
      }
      ended += 1;
      if (ended % RESTART_EVERY === 0) await gate.alone(() => cloud.restart());
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (failure !== null) throw new Error(failure);
  assert.deepEqual(await cloud.leaks(), [], `seed ${SEED}`);
  process.stdout.write(`seed ${SEED}: ${ended} sequences, ${name}; ${steps} steps planned, 0 contradictions\n`);
}
