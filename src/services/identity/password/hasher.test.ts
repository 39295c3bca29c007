/** Passwords are hashed as others hash them, and never too many at once. */
import assert from 'node:assert/strict';
import { argon2Sync } from 'node:crypto';
import { test } from 'node:test';
import { CloudError } from '#domain/errors.ts';
import { passwordHasher } from './hasher.ts';
import { fromPhc } from './phc.ts';

test('a hash verifies its password and no other; the same password never has the same hash', async () => {
  const hasher = passwordHasher();
  const [one, two] = await Promise.all([hasher.hash('pässword'), hasher.hash('pässword')]);
  assert.notEqual(one, two);
  assert.equal(await hasher.verify('pässword', one), true);
  assert.equal(await hasher.verify('passwort', one), false);
  assert.equal(await hasher.verify('', one), false);
});

test("nobody's hash is not verified by any password", async () => {
  assert.equal(await passwordHasher().verify('', null), false);
  await assert.rejects(passwordHasher().verify('x', '$2b$12$whatever'));
});

test('a hash says how it was made', async () => {
  const phc = await passwordHasher().hash('secret');
  const read = fromPhc(phc);
  assert.ok(read);
  const again = argon2Sync('argon2id', {
    message: 'secret',
    nonce: read.salt,
    tagLength: 32,
    memory: 19456,
    passes: 2,
    parallelism: 1,
  });
  assert.deepEqual(read.hash, again);
});

test('beyond the bound of those who wait the answer is 503, and the queue goes on', async () => {
  const hasher = passwordHasher({ concurrency: 1, waiting: 2 });
  const settled = await Promise.allSettled([1, 2, 3, 4, 5].map(() => hasher.hash('x')));
  assert.deepEqual(
    settled.map((each) => each.status),
    ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'],
  );
  const [refused] = settled.filter((each) => each.status === 'rejected');
  assert.ok(refused?.reason instanceof CloudError);
  assert.equal(refused.reason.status, 503);
  assert.ok(await hasher.hash('x'));
});
