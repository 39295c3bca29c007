/** A new cloud has its users, and a restart changes nothing that an operator did. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openTestDatabase } from '#db/testing/test-database.ts';
import { openLogs } from '#observe/log.ts';
import { bootstrap } from './bootstrap.ts';
import { identityDeps } from './identity-deps.ts';
import { issueServiceToken } from './service-token.ts';
import { identityUnderTest, PASSWORDS } from './testing/identity-under-test.ts';

test('the first call makes the users and tells their passwords, the second nothing', async () => {
  const database = await openTestDatabase();
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('keystone');
  const deps = identityDeps({ database, clock: Date.now, log });
  const first = await bootstrap(deps);
  assert.equal(first.created, true);
  assert.deepEqual(Object.keys(first.passwords).sort(), ['admin', 'demo', 'nova']);
  assert.equal(new Set(Object.values(first.passwords)).size, 3);
  for (const password of Object.values(first.passwords)) assert.ok(password.length >= 24);
  const dump = async () =>
    Promise.all(
      (['users', 'projects', 'roles', 'role_assignments', 'signing_keys'] as const).map((table) =>
        database.queries.selectFrom(table).selectAll().execute(),
      ),
    );
  for (const user of await database.queries.selectFrom('users').selectAll().execute())
    assert.match(String(user.password_hash), /^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  const before = JSON.stringify(await dump());
  assert.deepEqual(await bootstrap(deps), { created: false, passwords: {} });
  assert.equal(JSON.stringify(await dump()), before);
  await database.close();
});

test('two at once make one set of users', async () => {
  const database = await openTestDatabase();
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('keystone');
  const both = await Promise.all([1, 2].map(() => bootstrap(identityDeps({ database, clock: Date.now, log }))));
  assert.deepEqual(both.map((each) => each.created).sort(), [false, true]);
  assert.equal((await database.queries.selectFrom('users').selectAll().execute()).length, 3);
  await database.close();
});

test('a deleted demo user stays deleted, a deleted service user comes back', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  for (const name of ['demo', 'nova']) {
    const [user] = (await cloud.call('GET', `/v3/users?name=${name}`, { token })).body.users;
    await cloud.call('DELETE', `/v3/users/${user.id}`, { token });
  }
  const [service] = (await cloud.call('GET', '/v3/projects?name=service', { token })).body.projects;
  await cloud.call('DELETE', `/v3/projects/${service.id}`, { token });
  await assert.rejects(issueServiceToken(cloud.deps));
  const again = await bootstrap(cloud.deps, { passwords: PASSWORDS });
  assert.deepEqual(again, { created: true, passwords: { nova: PASSWORDS.nova } });
  assert.ok(await issueServiceToken(cloud.deps));
  const users = (await cloud.call('GET', '/v3/users', { token })).body.users as { name: string }[];
  assert.deepEqual(
    users.map((user) => user.name),
    ['admin', 'nova'],
  );
});
