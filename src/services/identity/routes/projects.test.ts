/** Projects, roles, grants, and what becomes of the tokens that rest on them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { identityUnderTest } from '../testing/identity-under-test.ts';

test('an admin creates, finds, changes and deletes a project', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const created = await cloud.call('POST', '/v3/projects', {
    token,
    body: { project: { name: 'lab', description: 'x' } },
  });
  assert.equal(created.status, 201);
  const { id } = created.body.project;
  assert.deepEqual(created.body.project, {
    id,
    name: 'lab',
    domain_id: 'default',
    description: 'x',
    enabled: true,
    parent_id: 'default',
    is_domain: false,
    tags: [],
    options: {},
    links: { self: `http://cloud.example:5000/identity/v3/projects/${id}` },
  });
  const found = await cloud.call('GET', '/v3/projects?name=lab&domain_id=default', { token });
  assert.deepEqual(found.body.projects, [created.body.project]);
  const taken = await cloud.call('POST', '/v3/projects', { token, body: { project: { name: 'lab' } } });
  assert.equal(taken.status, 409);
  const changed = await cloud.call('PATCH', `/v3/projects/${id}`, { token, body: { project: { name: 'lab2' } } });
  assert.deepEqual([changed.body.project.name, changed.body.project.description], ['lab2', 'x']);
  assert.equal((await cloud.call('DELETE', `/v3/projects/${id}`, { token })).status, 204);
  const gone = await cloud.call('GET', `/v3/projects/${id}`, { token });
  assert.equal(gone.body.error.message, `Could not find project: ${id}.`);
});

test('a member sees its own projects and the project of its token, and no other', async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const unscoped = await cloud.token('demo', 'unscoped');
  const own = await cloud.call('GET', '/v3/auth/projects', { token: unscoped });
  const names = (body: { projects: { name: string }[] }) => body.projects.map((project) => project.name);
  assert.deepEqual(names(own.body), ['demo']);
  assert.deepEqual((await cloud.call('GET', '/v3/auth/domains', { token: unscoped })).body.domains, []);
  assert.equal((await cloud.call('GET', '/v3/auth/domains', { token: admin })).body.domains[0].id, 'default');
  const all = await cloud.call('GET', '/v3/projects', { token: admin });
  assert.deepEqual(names(all.body), ['admin', 'demo', 'service']);
  const token = await cloud.token('demo');
  const [adminProject, demoProject] = all.body.projects;
  assert.equal((await cloud.call('GET', `/v3/projects/${demoProject.id}`, { token })).status, 200);
  assert.equal((await cloud.call('GET', `/v3/projects/${adminProject.id}`, { token })).status, 403);
  const { id } = (await cloud.call('GET', '/v3/auth/tokens', { token, subject: token })).body.token.user;
  assert.deepEqual(names((await cloud.call('GET', `/v3/users/${id}/projects`, { token: unscoped })).body), ['demo']);
});

test('tokens for a disabled or deleted project are refused at once', async () => {
  await using cloud = await identityUnderTest();
  const admin = await cloud.token('admin');
  const demo = await cloud.token('demo');
  const unscoped = await cloud.token('demo', 'unscoped');
  const { projectId } = (await cloud.authenticate(demo)) ?? {};
  const set = (enabled: boolean) =>
    cloud.call('PATCH', `/v3/projects/${projectId}`, { token: admin, body: { project: { enabled } } });
  await set(false);
  assert.equal(await cloud.authenticate(demo), null);
  assert.ok(await cloud.authenticate(unscoped), 'a token for no project does not depend on one');
  assert.deepEqual((await cloud.call('GET', '/v3/auth/projects', { token: unscoped })).body.projects, []);
  await set(true);
  assert.equal(await cloud.authenticate(demo), null, 'revoked for good');
  const again = await cloud.token('demo');
  assert.ok(await cloud.authenticate(again));
  await cloud.call('DELETE', `/v3/projects/${projectId}`, { token: admin });
  assert.equal(await cloud.authenticate(again), null);
  assert.equal((await cloud.login('demo', 'demo-secret')).body.token.project, undefined, 'the default project is gone');
});

test('a role is granted, seen, listed with what it implies, and taken away with the tokens that rest on it', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const ann = await cloud.user(token, 'ann', 'secret');
  const listed = await cloud.call('GET', ann.grant.replace(/\/[^/]*$/, ''), { token });
  assert.deepEqual(
    listed.body.roles.map((role: { name: string }) => role.name),
    ['member'],
  );
  assert.equal((await cloud.call('HEAD', ann.grant, { token })).status, 204);
  assert.equal((await cloud.call('PUT', ann.grant, { token })).status, 204, 'granting again changes nothing');
  const query = `user.id=${ann.userId}&include_names=true`;
  const direct = await cloud.call('GET', `/v3/role_assignments?${query}`, { token });
  assert.deepEqual(direct.body.role_assignments, [
    {
      role: { id: ann.roleId, name: 'member' },
      user: { id: ann.userId, name: 'ann', domain: { id: 'default', name: 'Default' } },
      scope: { project: { id: ann.projectId, name: 'demo', domain: { id: 'default', name: 'Default' } } },
      links: { assignment: `http://cloud.example:5000/identity${ann.grant}` },
    },
  ]);
  const effective = await cloud.call('GET', `/v3/role_assignments?${query}&effective`, { token });
  assert.deepEqual(
    effective.body.role_assignments.map((each: { role: { name: string } }) => each.role.name),
    ['member', 'reader'],
  );
  const own = await cloud.token('ann', ann.scope, 'secret');
  assert.ok(await cloud.authenticate(own));
  assert.equal((await cloud.call('DELETE', ann.grant, { token })).status, 204);
  assert.equal(await cloud.authenticate(own), null);
  assert.equal((await cloud.call('HEAD', ann.grant, { token })).status, 404);
  const missing = await cloud.call('DELETE', ann.grant, { token });
  assert.match(missing.body.error.message, /^Could not find role assignment with role: [0-9a-f]{32}, user or group: /);
  await cloud.call('PUT', ann.grant, { token });
  assert.equal(await cloud.authenticate(own), null, 'an old token does not come back with the role');
  const unknown = await cloud.call('PUT', ann.grant.replace(ann.userId, 'nobody'), { token });
  assert.equal(unknown.body.error.message, 'Could not find user: nobody.');
});

test('roles can be added and removed, the built-in ones not', async () => {
  await using cloud = await identityUnderTest();
  const token = await cloud.token('admin');
  const created = await cloud.call('POST', '/v3/roles', { token, body: { role: { name: 'auditor' } } });
  assert.equal(created.status, 201);
  const path = `/v3/roles/${created.body.role.id}`;
  const taken = await cloud.call('POST', '/v3/roles', { token, body: { role: { name: 'auditor' } } });
  assert.equal(
    taken.body.error.message,
    'Conflict occurred attempting to store role - Duplicate entry found with name auditor.',
  );
  const ann = await cloud.user(token, 'ann', 'secret', 'auditor');
  const own = await cloud.token('ann', ann.scope, 'secret');
  assert.deepEqual((await cloud.authenticate(own))?.roles, ['auditor']);
  await cloud.call('PATCH', path, { token, body: { role: { name: 'inspector' } } });
  assert.deepEqual((await cloud.authenticate(own))?.roles, ['inspector'], 'roles are looked up, not carried');
  assert.equal((await cloud.call('DELETE', path, { token })).status, 204);
  assert.equal(await cloud.authenticate(own), null);
  const [admin] = (await cloud.call('GET', '/v3/roles?name=admin', { token })).body.roles;
  for (const [method, body] of [
    ['PATCH', { role: { name: 'x' } }],
    ['DELETE', undefined],
  ] as const)
    assert.equal((await cloud.call(method, `/v3/roles/${admin.id}`, { token, body })).status, 403);
});
