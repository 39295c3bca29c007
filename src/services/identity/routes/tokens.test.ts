/** Getting, checking and giving back tokens over HTTP. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Answered, type Cloud, identityUnderTest, PASSWORDS } from '../testing/identity-under-test.ts';

const HOURS = 3_600_000;
const REFUSED = {
  error: { code: 401, message: 'The request you have made requires authentication.', title: 'Unauthorized' },
};

function byToken(cloud: Cloud, id: string, scope?: unknown): Promise<Answered> {
  const identity = { methods: ['token'], token: { id } };
  return cloud.call('POST', '/v3/auth/tokens', { body: { auth: { identity, ...(scope !== undefined && { scope }) } } });
}

test('a password login answers 201 with the token in a header and who, where, until when, and the catalogue', async () => {
  await using cloud = await identityUnderTest();
  const answer = await cloud.login('demo', PASSWORDS.demo, { project: { name: 'demo', domain: { name: 'Default' } } });
  assert.equal(answer.status, 201);
  assert.match(String(answer.headers['x-subject-token']), /^gAAAAA[A-Za-z0-9_-]+$/);
  const { token } = answer.body;
  assert.deepEqual(token.methods, ['password']);
  assert.equal(token.user.name, 'demo');
  assert.match(token.user.id, /^[0-9a-f]{32}$/);
  assert.deepEqual(token.user.domain, { id: 'default', name: 'Default' });
  assert.equal(token.project.name, 'demo');
  assert.deepEqual(
    token.roles.map((role: { name: string }) => role.name),
    ['member', 'reader'],
  );
  assert.equal(token.audit_ids.length, 1);
  assert.equal(token.issued_at, '2026-01-01T00:00:00.000000Z');
  assert.equal(token.expires_at, '2026-01-01T04:00:00.000000Z');
  const compute = token.catalog.find((service: { type: string }) => service.type === 'compute');
  assert.deepEqual(
    compute.endpoints.map((endpoint: { interface: string; url: string }) => [endpoint.interface, endpoint.url]),
    ['public', 'internal', 'admin'].map((each) => [each, 'http://cloud.example:5000/compute/v2.1']),
  );
  assert.ok(!answer.text.includes(PASSWORDS.demo));
});

test('?nocatalog leaves the catalogue out', async () => {
  await using cloud = await identityUnderTest();
  const identity = { methods: ['token'], token: { id: await cloud.token('demo') } };
  const answer = await cloud.call('POST', '/v3/auth/tokens?nocatalog', { body: { auth: { identity } } });
  assert.equal(answer.status, 201);
  assert.equal(answer.body.token.catalog, undefined);
});

test('the scope is as asked: project by id, the domain for admins, nothing, or the default project', async () => {
  await using cloud = await identityUnderTest();
  const byDefault = await cloud.login('admin', PASSWORDS.admin);
  assert.equal(byDefault.body.token.project.name, 'admin');
  const byId = await cloud.login('admin', PASSWORDS.admin, { project: { id: byDefault.body.token.project.id } });
  assert.equal(byId.body.token.project.name, 'admin');
  const domain = await cloud.login('admin', PASSWORDS.admin, { domain: { id: 'default' } });
  assert.deepEqual(domain.body.token.domain, { id: 'default', name: 'Default' });
  assert.equal(domain.body.token.project, undefined);
  for (const scope of ['unscoped', { unscoped: {} }]) {
    const unscoped = await cloud.login('admin', PASSWORDS.admin, scope);
    assert.equal(unscoped.status, 201);
    assert.equal(unscoped.body.token.project, undefined);
    assert.equal(unscoped.body.token.roles, undefined);
    assert.equal(unscoped.body.token.catalog, undefined);
  }
});

test('every bad credential and every scope where the user may not be gets the same 401', async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const disabled = await cloud.user(admin, 'disabled', 'right');
  await cloud.call('PATCH', `/v3/users/${disabled.userId}`, { token: admin, body: { user: { enabled: false } } });
  const noPassword = await cloud.call('POST', '/v3/users', { token: admin, body: { user: { name: 'machine' } } });
  assert.equal(noPassword.status, 201);
  const inOther = {
    methods: ['password'],
    password: { user: { name: 'demo', domain: { id: 'other' }, password: PASSWORDS.demo } },
  };
  const attempts = [
    cloud.login('demo', 'wrong'),
    cloud.login('demo', ''),
    cloud.login('nobody', 'wrong'),
    cloud.login('machine', ''),
    cloud.login('disabled', 'right'),
    cloud.login('demo', PASSWORDS.demo, { project: { name: 'admin', domain: { id: 'default' } } }),
    cloud.login('demo', PASSWORDS.demo, { project: { id: 'f'.repeat(32) } }),
    cloud.login('demo', PASSWORDS.demo, { project: { name: 'demo', domain: { id: 'other' } } }),
    cloud.login('demo', PASSWORDS.demo, { domain: { id: 'default' } }),
    cloud.login('demo', PASSWORDS.demo, { system: { all: true } }),
    cloud.call('POST', '/v3/auth/tokens', { body: { auth: { identity: inOther } } }),
    cloud.call('POST', '/v3/auth/tokens', { body: { auth: { identity: { methods: ['totp'] } } } }),
    byToken(cloud, 'gAAAAA-no-token'),
  ];
  for (const answer of await Promise.all(attempts)) {
    assert.equal(answer.status, 401, answer.text);
    assert.deepEqual(answer.body, REFUSED);
    assert.equal(answer.headers['www-authenticate'], 'Keystone uri="http://cloud.example:5000/identity"');
  }
});

test('a user who does not exist costs a hash like one who does', async (t) => {
  await using cloud = await identityUnderTest();
  const verify = t.mock.method(cloud.deps.passwords, 'verify');
  await cloud.login('demo', 'wrong');
  await cloud.login('nobody', 'wrong');
  assert.equal(verify.mock.callCount(), 2);
  assert.match(String(verify.mock.calls[0]?.arguments[1]), /^\$argon2id\$/);
  assert.equal(verify.mock.calls[1]?.arguments[1], null);
});

test('a malformed login is 400 and does not repeat the password', async () => {
  await using cloud = await identityUnderTest();
  const password = 'do-not-repeat-me';
  for (const user of [
    { name: 'demo', password },
    { name: 7, password, domain: {} },
    { name: 'demo', password: [password] },
  ]) {
    const identity = { methods: ['password'], password: { user } };
    const answer = await cloud.call('POST', '/v3/auth/tokens', { body: { auth: { identity } } });
    assert.equal(answer.status, 400);
    if (typeof user.password === 'string') assert.ok(!answer.text.includes(password), answer.text);
  }
});

test('a token had for a token keeps its expiry, adds its method and chains the audit ids', async () => {
  await using cloud = await identityUnderTest();
  const first = await cloud.login('demo', PASSWORDS.demo, 'unscoped');
  cloud.clock.now += 3 * HOURS;
  const second = await byToken(cloud, String(first.headers['x-subject-token']), first.body.token.project);
  assert.equal(second.status, 201);
  const scope = { project: { name: 'demo', domain: { id: 'default' } } };
  const third = await byToken(cloud, String(second.headers['x-subject-token']), scope);
  assert.equal(third.body.token.project.name, 'demo');
  assert.equal(third.body.token.expires_at, first.body.token.expires_at);
  assert.deepEqual(third.body.token.methods, ['password', 'token']);
  assert.equal(third.body.token.audit_ids[1], first.body.token.audit_ids[0]);
  assert.notEqual(third.body.token.audit_ids[0], first.body.token.audit_ids[0]);
  cloud.clock.now += HOURS;
  assert.equal(await cloud.authenticate(String(third.headers['x-subject-token'])), null);
});

test("a user may look at and revoke the own token, a service anybody's, a stranger nobody's", async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const demo = await cloud.token('demo');
  const other = await cloud.user(admin, 'other', 'secret');
  const stranger = await cloud.token('other', other.scope, 'secret');
  const nova = await cloud.token('nova');
  for (const token of [demo, nova, admin]) {
    const shown = await cloud.call('GET', '/v3/auth/tokens', { token, subject: demo });
    assert.equal(shown.status, 200);
    assert.equal(shown.headers['x-subject-token'], demo);
    assert.equal(shown.body.token.user.name, 'demo');
  }
  const head = await cloud.call('HEAD', '/v3/auth/tokens', { token: demo, subject: demo });
  assert.deepEqual([head.status, head.text], [200, '']);
  const refused = await cloud.call('GET', '/v3/auth/tokens', { token: stranger, subject: demo });
  assert.equal(refused.status, 403);
  assert.equal(
    refused.body.error.message,
    'You are not authorized to perform the requested action: identity:validate_token.',
  );
  assert.equal((await cloud.call('DELETE', '/v3/auth/tokens', { token: stranger, subject: demo })).status, 403);
  assert.equal((await cloud.call('GET', '/v3/auth/tokens', { token: demo })).status, 404);

  assert.equal((await cloud.call('DELETE', '/v3/auth/tokens', { token: demo, subject: demo })).status, 204);
  assert.equal(await cloud.authenticate(demo), null);
  assert.equal((await cloud.call('GET', '/v3/auth/projects', { token: demo })).status, 401);
  assert.equal((await cloud.call('GET', '/v3/auth/tokens', { token: admin, subject: demo })).status, 404);
  assert.ok(await cloud.authenticate(await cloud.token('demo')), 'a new login works');
});
