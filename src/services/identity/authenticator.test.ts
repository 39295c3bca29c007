/** What every request rests on: which tokens count, for whom, and how soon they stop to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findUserByName } from '#db/repo/identity/users.ts';
import { STALE_AFTER_MS } from './identity-record.ts';
import { issueServiceToken } from './service-token.ts';
import { identityUnderTest } from './testing/identity-under-test.ts';
import { rotateSigningKeys } from './token/signing-keys.ts';

const HOURS = 3_600_000;

test('a token says who calls, where and with which roles', async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.authenticate(await cloud.token('admin'));
  assert.equal(admin?.userName, 'admin');
  assert.equal(admin?.projectName, 'admin');
  assert.deepEqual(admin?.roles, ['admin', 'member', 'reader']);
  assert.equal(admin?.isAdmin, true);
  assert.equal(admin?.expiresAt, cloud.clock.now + 4 * HOURS);
  const demo = await cloud.authenticate(await cloud.token('demo'));
  assert.deepEqual([demo?.roles, demo?.isAdmin], [['member', 'reader'], false]);
  const unscoped = await cloud.authenticate(await cloud.token('admin', 'unscoped'));
  assert.deepEqual([unscoped?.projectId, unscoped?.roles, unscoped?.isAdmin], [null, [], false]);
});

test('a token with any character changed, dropped or added is refused', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('demo');
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
  for (let at = 0; at < token.length; at += 1) {
    const changed = alphabet[alphabet.indexOf(token.charAt(at)) ^ 1] ?? 'A';
    assert.equal(await cloud.authenticate(token.slice(0, at) + changed + token.slice(at + 1)), null, `at ${at}`);
    assert.equal(await cloud.authenticate(token.slice(0, at) + token.slice(at + 1)), null, `without ${at}`);
  }
  // All 64 at the end, where base64 has bits that decode to nothing.
  for (const last of alphabet) {
    const counts = (await cloud.authenticate(token.slice(0, -1) + last)) !== null;
    assert.equal(counts, last === token.at(-1));
  }
  for (const each of ['', `${token}=`, `${token}A`, ` ${token}`, 'x'.repeat(100_000)])
    assert.equal(await cloud.authenticate(each), null);
  assert.ok(await cloud.authenticate(token));
});

test('a token expires, also one that was just used', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('demo');
  cloud.clock.now += 4 * HOURS - 1;
  assert.ok(await cloud.authenticate(token));
  cloud.clock.now += 1;
  assert.equal(await cloud.authenticate(token), null);
});

test('what another process writes counts here within two seconds', async () => {
  await using one = await identityUnderTest();
  await using other = await identityUnderTest({ database: one.database });
  const admin = await one.token('admin');
  const ann = await one.user(admin, 'ann', 'secret');
  const token = await one.token('ann', ann.scope, 'secret');
  assert.ok(await other.authenticate(token));
  await one.call('PATCH', `/v3/users/${ann.userId}`, { token: admin, body: { user: { enabled: false } } });
  assert.equal(await one.authenticate(token), null);
  other.clock.now += STALE_AFTER_MS;
  assert.equal(await other.authenticate(token), null);
  assert.ok(STALE_AFTER_MS <= 2000);
});

test('an answer that was being looked up while the record changed is not kept', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('demo');
  await cloud.deps.record.write(async () => {});
  const looking = cloud.authenticate(token);
  const user = await findUserByName(cloud.database.queries, 'demo');
  await cloud.deps.record.write((trx) => cloud.deps.tokens.revokeAll(trx, { userId: user?.id ?? '' }));
  await looking;
  assert.equal(await cloud.authenticate(token), null);
});

test('a token seen before costs no query', async (t) => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('demo');
  await cloud.authenticate(token);
  const executor = t.mock.method(cloud.database.queries, 'getExecutor');
  const again = cloud.authenticate(token);
  assert.ok(!(again instanceof Promise));
  assert.ok(again);
  assert.equal(executor.mock.callCount(), 0);
});

test('rotation keeps the tokens in use and drops keys that can have sealed none of them', async () => {
  await using cloud = await identityUnderTest();
  const old = await cloud.token('demo');
  await rotateSigningKeys(cloud.deps);
  const during = await cloud.token('demo');
  cloud.clock.now += 10_000;
  const after = await cloud.token('demo');
  const count = async () => (await cloud.database.queries.selectFrom('signing_keys').selectAll().execute()).length;
  assert.equal(await count(), 2);
  for (const token of [old, during, after]) assert.ok(await cloud.authenticate(token));
});

test('a key goes once no token that it sealed can be valid', async () => {
  await using cloud = await identityUnderTest();
  const keys = async () =>
    (await cloud.database.queries.selectFrom('signing_keys').select('id').execute()).map((row) => row.id);
  const [first] = await keys();
  await rotateSigningKeys(cloud.deps);
  cloud.clock.now += 4 * HOURS;
  await rotateSigningKeys(cloud.deps);
  assert.ok((await keys()).includes(first ?? ''), 'a token of the last moment may still be valid');
  cloud.clock.now += 10_000;
  await rotateSigningKeys(cloud.deps);
  assert.ok(!(await keys()).includes(first ?? ''));
  assert.ok(await cloud.authenticate(await cloud.token('demo')));
});

test('revocations that have served their time are dropped', async () => {
  await using cloud = await identityUnderTest();
  const revoke = async () => {
    const token = await cloud.token('demo');
    await cloud.call('DELETE', '/v3/auth/tokens', { token, subject: token });
  };
  await revoke();
  await revoke();
  cloud.clock.now += 5 * HOURS;
  await revoke();
  const rows = await cloud.database.queries.selectFrom('token_revocations').selectAll().execute();
  assert.equal(rows.length, 1);
});

test('the process makes itself a token of the service user without a password', async () => {
  await using cloud = await identityUnderTest();
  const { token, expiresAt } = await issueServiceToken(cloud.deps);
  const auth = await cloud.authenticate(token);
  assert.deepEqual([auth?.userName, auth?.projectName, auth?.roles], ['nova', 'service', ['service']]);
  assert.equal(expiresAt, auth?.expiresAt);
});
