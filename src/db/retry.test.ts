import assert from 'node:assert/strict';
import { test } from 'node:test';
import { retried } from './retry.ts';

/** An attempt that fails so many times, and the pauses between. */
function failing(times: number) {
  const seen = { attempts: 0, pauses: [] as number[] };
  const attempt = async () => {
    seen.attempts += 1;
    if (seen.attempts <= times) throw new Error('met another');
    return 'done';
  };
  const options = {
    again: (error: unknown) => error instanceof Error && error.message === 'met another',
    pause: async (ms: number) => seen.pauses.push(ms),
  };
  return { seen, attempt, options };
}

test('what met another is tried again, after pauses that stay short', async () => {
  const { seen, attempt, options } = failing(15);
  assert.equal(await retried(attempt, options), 'done');
  assert.equal(seen.attempts, 16);
  assert.equal(seen.pauses.length, 15);
  assert.ok(seen.pauses.every((ms) => ms >= 0 && ms <= 200));
  assert.ok(new Set(seen.pauses).size > 1, 'two that met must not meet again');
});

test('what meets others for ever ends as something to be tried later', async () => {
  const { seen, attempt, options } = failing(Number.POSITIVE_INFINITY);
  await assert.rejects(retried(attempt, options), { code: 'databaseUnavailable', retryable: true });
  assert.equal(seen.attempts, 20);
});

test('another error is not tried again', async () => {
  let attempts = 0;
  const attempt = async () => {
    attempts += 1;
    throw new Error('broken');
  };
  await assert.rejects(retried(attempt, { again: () => false }), /broken/);
  assert.equal(attempts, 1);
});
