/** Users, their passwords, and what becomes of their tokens. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityUnderTest, PASSWORDS } from '../testing/identity-under-test.ts';

test('an admin creates, finds, changes and deletes a user', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const asked = { name: 'ann', password: 'secret', email: 'ann@example.org', description: 'Ann', extra: 'ignored' };
  const created = await cloud.call('POST', '/v3/users', { token, body: { user: asked } });
  assert.equal(created.status, 201);
  const { id } = created.body.user;
  assert.deepEqual(created.body.user, {
    id,
    name: 'ann',
    domain_id: 'default',
    enabled: true,
    password_expires_at: null,
    options: {},
    email: 'ann@example.org',
    description: 'Ann',
    links: { self: `http://cloud.example:5000/identity/v3/users/${id}` },
  });
  for (const filter of ['name=ann', 'domain_id=default&name=ann', 'enabled=true&name=ann']) {
    const found = await cloud.call('GET', `/v3/users?${filter}`, { token });
    assert.deepEqual(found.body.users, [created.body.user]);
    assert.deepEqual(found.body.links, {
      next: null,
      self: 'http://cloud.example:5000/identity/v3/users',
      previous: null,
    });
  }
  for (const filter of ['name=an', 'domain_id=other', 'enabled=false'])
    assert.deepEqual((await cloud.call('GET', `/v3/users?${filter}`, { token })).body.users, []);
  const changed = await cloud.call('PATCH', `/v3/users/${id}`, {
    token,
    body: { user: { name: 'anna', email: null } },
  });
  assert.equal(changed.status, 200);
  assert.equal(changed.body.user.name, 'anna');
  assert.equal(changed.body.user.email, undefined);
  assert.equal(changed.body.user.description, 'Ann');
  assert.equal((await cloud.call('DELETE', `/v3/users/${id}`, { token })).status, 204);
  const gone = await cloud.call('GET', `/v3/users/${id}`, { token });
  assert.equal(gone.status, 404);
  assert.deepEqual(gone.body.error, { code: 404, message: `Could not find user: ${id}.`, title: 'Not Found' });
  assert.equal((await cloud.call('DELETE', `/v3/users/${id}`, { token })).status, 404);
  assert.equal((await cloud.call('PATCH', `/v3/users/${id}`, { token, body: { user: {} } })).status, 404);
});

test('a name that is taken is a conflict, on creation and on renaming', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const ann = await cloud.user(token, 'ann', 'secret');
  const again = await cloud.call('POST', '/v3/users', { token, body: { user: { name: 'ann' } } });
  const renamed = await cloud.call('PATCH', `/v3/users/${ann.userId}`, { token, body: { user: { name: 'demo' } } });
  const text = (name: string) =>
    `Conflict occurred attempting to store user - Duplicate entry found with name ${name} at domain ID default.`;
  assert.deepEqual([again.status, again.body.error.message], [409, text('ann')]);
  assert.deepEqual([renamed.status, renamed.body.error.message], [409, text('demo')]);
});

test('bad input is 400 and changes nothing', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const before = (await cloud.call('GET', '/v3/users', { token })).body.users.length;
  const bad = [
    {},
    { name: '' },
    { name: ' ' },
    { name: 'x'.repeat(256) },
    { name: 'a\u0000b' },
    { name: 'x', enabled: 'yes' },
  ];
  for (const user of [...bad, { name: 'x', password: '' }, { name: 'x', password: 'x'.repeat(256) }])
    assert.equal((await cloud.call('POST', '/v3/users', { token, body: { user } })).status, 400, JSON.stringify(user));
  assert.equal(
    (await cloud.call('POST', '/v3/users', { token, body: { user: { name: 'x', domain_id: 'other' } } })).status,
    404,
  );
  assert.equal((await cloud.call('GET', '/v3/users', { token })).body.users.length, before);
});

test('without the admin role a user sees only itself', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('demo');
  const unscoped = await cloud.token('demo', 'unscoped');
  const me = (await cloud.call('GET', '/v3/auth/tokens', { token, subject: token })).body.token.user.id;
  assert.equal((await cloud.call('GET', `/v3/users/${me}`, { token })).body.user.name, 'demo');
  const create = await cloud.call('POST', '/v3/users', { token, body: { user: { name: 'x' } } });
  assert.equal(create.status, 403);
  assert.equal(
    create.body.error.message,
    'You are not authorized to perform the requested action: identity:create_user.',
  );
  const forbidden = [
    ['GET', '/v3/users'],
    ['GET', `/v3/users/${'0'.repeat(32)}`],
    ['DELETE', `/v3/users/${me}`],
    ['GET', `/v3/users/${'0'.repeat(32)}/projects`],
    ['GET', '/v3/projects'],
    ['GET', '/v3/roles'],
    ['GET', '/v3/role_assignments'],
    ['GET', '/v3/services'],
  ] as const;
  for (const [method, path] of forbidden) {
    for (const each of [token, unscoped])
      assert.equal((await cloud.call(method, path, { token: each })).status, 403, path);
    assert.equal((await cloud.call(method, path)).status, 401, path);
  }
  const enable = await cloud.call('PATCH', `/v3/users/${me}`, { token, body: { user: { name: 'root' } } });
  assert.equal(enable.status, 403);
});

test("a disabled user's tokens are refused at once and stay so when the user is enabled again", async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const ann = await cloud.user(admin, 'ann', 'secret');
  const token = await cloud.token('ann', ann.scope, 'secret');
  assert.ok(await cloud.authenticate(token));
  const set = (enabled: boolean) =>
    cloud.call('PATCH', `/v3/users/${ann.userId}`, { token: admin, body: { user: { enabled } } });
  assert.equal((await set(false)).status, 200);
  assert.equal(await cloud.authenticate(token), null);
  await set(true);
  assert.equal(await cloud.authenticate(token), null);
  assert.ok(await cloud.authenticate(await cloud.token('ann', ann.scope, 'secret')));
});

test("a deleted user's tokens are refused at once", async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const ann = await cloud.user(admin, 'ann', 'secret');
  const token = await cloud.token('ann', ann.scope, 'secret');
  assert.ok(await cloud.authenticate(token));
  await cloud.call('DELETE', `/v3/users/${ann.userId}`, { token: admin });
  assert.equal(await cloud.authenticate(token), null);
  assert.equal((await cloud.login('ann', 'secret')).status, 401);
});

test("changing the own password takes the original one, and revokes every token of the user and nobody else's", async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const ann = await cloud.user(admin, 'ann', 'old');
  const tokens = [await cloud.token('ann', ann.scope, 'old'), await cloud.token('ann', 'unscoped', 'old')];
  const [token = ''] = tokens;
  const change = (by: string, original: string) =>
    cloud.call('POST', `/v3/users/${ann.userId}/password`, {
      token: by,
      body: { user: { original_password: original, password: 'new' } },
    });
  assert.equal((await change(token, 'wrong')).status, 401);
  assert.equal((await change(await cloud.token('demo'), 'old')).status, 403);
  assert.ok(await cloud.authenticate(token));
  assert.equal((await change(token, 'old')).status, 204);
  for (const each of tokens) assert.equal(await cloud.authenticate(each), null);
  assert.ok(await cloud.authenticate(admin));
  assert.equal((await cloud.login('ann', 'old')).status, 401);
  // In the very same millisecond of the test's clock.
  assert.ok(await cloud.authenticate(await cloud.token('ann', ann.scope, 'new')));
});

test('a login that was being checked while the password changed gives no token that counts', async (t) => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const ann = await cloud.user(admin, 'ann', 'old');
  const verify = cloud.deps.passwords.verify;
  t.mock.method(cloud.deps.passwords, 'verify', async (password: string, phc: string | null) => {
    const right = await verify(password, phc);
    if (password === 'old')
      await cloud.call('PATCH', `/v3/users/${ann.userId}`, { token: admin, body: { user: { password: 'new' } } });
    return right;
  });
  assert.equal((await cloud.login('ann', 'old', ann.scope)).status, 401);
});

test('the database holds PHC strings and never a password', async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  await cloud.user(admin, 'ann', 'ann-secret');
  const rows = await cloud.database.queries.selectFrom('users').selectAll().execute();
  assert.equal(rows.length, 4);
  for (const row of rows)
    assert.match(String(row.password_hash), /^\$argon2id\$v=19\$m=64,t=1,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  const dump = JSON.stringify(rows);
  for (const password of ['ann-secret', ...Object.values(PASSWORDS)]) assert.ok(!dump.includes(password));
});
