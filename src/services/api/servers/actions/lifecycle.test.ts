/** Every action of the lifecycle as a request: what it begins and with what, what it answers, what it refuses. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VmState } from '#domain/instance/states.ts';
import { TRANSITIONS, type Transition } from '#domain/instance/transitions.ts';
import type { OperationKind } from '#domain/operation/operation.ts';
import { type ApiHarness, apiHarness, type Caller, IMAGE, imageRecord } from '../../api-harness.ts';

const act = (api: ApiHarness, id: string, body: unknown, who: Caller = 'demo', version = '2.1') =>
  api.call(who, 'POST', `/servers/${id}/action`, { body, version });

/** The only operation of a server. */
async function begun(api: ApiHarness, id: string) {
  const rows = await api.db.queries.selectFrom('operations').selectAll().where('server_id', '=', id).execute();
  assert.equal(rows.length, 1);
  const [row] = rows;
  const secrets = JSON.parse(row?.secrets ?? '{}') as Record<string, string>;
  return { kind: row?.kind, state: row?.state, input: JSON.parse(row?.input ?? 'null'), secrets };
}

/** Requests that begin an operation without more to say, from a state in which it may. */
const PLAIN: readonly { body: object; kind: OperationKind; from: VmState; who?: Caller; status?: number }[] = [
  { body: { 'os-start': null }, kind: 'start', from: 'stopped' },
  { body: { 'os-start': {} }, kind: 'start', from: 'stopped' },
  { body: { 'os-stop': null }, kind: 'stop', from: 'active' },
  { body: { 'os-stop': { type: 'HARD' } }, kind: 'forceStop', from: 'active' },
  { body: { reboot: { type: 'SOFT' } }, kind: 'reboot', from: 'active' },
  { body: { reboot: { type: 'hard' } }, kind: 'hardReboot', from: 'suspended' },
  { body: { pause: null }, kind: 'pause', from: 'active' },
  { body: { unpause: {} }, kind: 'unpause', from: 'paused' },
  { body: { suspend: null }, kind: 'suspend', from: 'active' },
  { body: { resume: null }, kind: 'resume', from: 'suspended' },
  { body: { rescue: {} }, kind: 'rescue', from: 'stopped', status: 200 },
  { body: { rescue: null }, kind: 'rescue', from: 'active', status: 200 },
  { body: { unrescue: null }, kind: 'unrescue', from: 'rescued' },
  { body: { rebuild: { imageRef: IMAGE } }, kind: 'rebuild', from: 'active' },
  { body: { shelve: null }, kind: 'shelve', from: 'paused' },
  { body: { shelveOffload: null }, kind: 'shelveOffload', from: 'shelved', who: 'admin' },
  { body: { unshelve: null }, kind: 'unshelve', from: 'shelved' },
  { body: { createBackup: { name: 'b', backup_type: 'daily', rotation: '2' } }, kind: 'createBackup', from: 'stopped' },
  { body: { forceDelete: null }, kind: 'forceDelete', from: 'soft-delete' },
  { body: { restore: null }, kind: 'restore', from: 'soft-delete' },
];

test('each begins its operation, shows the first task, and answers 202', async () => {
  await using api = await apiHarness();
  for (const { body, kind, from, who, status } of PLAIN) {
    const id = await api.add({ vm_state: from, ...(from === 'shelved' && { shelved_image_id: IMAGE }) });
    const answer = await act(api, id, body, who);
    assert.equal(answer.status, status ?? 202, `${JSON.stringify(body)}: ${answer.text}`);
    assert.equal((await begun(api, id)).kind, kind);
    const { server } = (await api.call('admin', 'GET', `/servers/${id}`)).body;
    assert.equal(server['OS-EXT-STS:task_state'], TRANSITIONS[kind].tasks[0]);
    assert.equal(server['OS-EXT-STS:vm_state'], from);
  }
});

test('each is refused in other states, to readers, to strangers, and where the server is locked', async () => {
  await using api = await apiHarness();
  for (const { body, kind, from, who } of PLAIN) {
    const row: Transition = TRANSITIONS[kind];
    const state = (['active', 'stopped', 'rescued', 'shelved'] as const).find((each) => !row.from.includes(each));
    if (state) {
      const elsewhere = await api.add({ vm_state: state });
      const refused = await act(api, elsewhere, body, who);
      const message = `Cannot '${row.action}' instance ${elsewhere} while it is in vm_state ${state}`;
      assert.deepEqual(refused.body, { conflictingRequest: { code: 409, message } });
    }
    const id = await api.add({ vm_state: from });
    assert.equal((await act(api, id, body, 'reader')).status, 403, kind);
    assert.equal((await act(api, id, body, 'other')).status, 404, kind);
    const locked = await api.add({ vm_state: from, locked: 1 });
    const isAdminOnly = row.role === 'admin';
    assert.equal((await act(api, locked, body)).status, isAdminOnly ? 403 : 409, kind);
  }
  assert.equal((await api.db.queries.selectFrom('operations').selectAll().execute()).length, 0);
});

test('what a guest has of time to shut down is said by its image, else by the cloud', async () => {
  await using api = await apiHarness();
  const graceOf = async (properties: object, body: object = { 'os-stop': null }) => {
    const id = await api.add({ image_properties: JSON.stringify(properties) });
    await act(api, id, body);
    return (await begun(api, id)).input.graceMs;
  };
  assert.equal(await graceOf({}), 60_000);
  assert.equal(await graceOf({ os_shutdown_timeout: '5' }), 5_000);
  assert.equal(await graceOf({ os_shutdown_timeout: 'long' }), 60_000);
  assert.equal(await graceOf({ os_shutdown_timeout: '5' }, { 'os-stop': { type: 'HARD' } }), 0);
});

test('rescue answers the password that it was given or made, and it goes with the secrets', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  const { body } = await act(api, id, { rescue: { adminPass: 'mine', rescue_image_ref: IMAGE } });
  assert.deepEqual(body, { adminPass: 'mine' });
  const operation = await begun(api, id);
  assert.equal(operation.secrets.adminPass, 'mine');
  assert.doesNotMatch(JSON.stringify(operation.input), /mine/);
  const made = await act(api, await api.add(), { rescue: {} });
  assert.match(made.body.adminPass, /^\w{12}$/);
  const missing = await act(api, await api.add(), { rescue: { rescue_image_ref: '9'.repeat(8) + IMAGE.slice(8) } });
  assert.equal(missing.status, 400);
});

test('rebuild answers the server as it will be, and keeps what it does not change', async () => {
  await using api = await apiHarness();
  const other = '22222222-2222-4222-8222-222222222222';
  api.images.set(other, imageRecord({ id: other, hw_qemu_guest_agent: 'yes' }));
  const id = await api.add({ name: 'before', metadata: '{"a":"1"}' });
  const answer = await act(api, id, {
    rebuild: { imageRef: other, name: 'after', adminPass: 'new', metadata: { b: '2' } },
  });
  assert.equal(answer.status, 202);
  const { server } = answer.body;
  assert.deepEqual(
    [server.image.id, server.name, server.status, server.adminPass, server.metadata],
    [other, 'after', 'REBUILD', 'new', { b: '2' }],
  );
  assert.equal('OS-EXT-STS:vm_state' in server, false, 'only from 2.75');
  const { input, secrets } = await begun(api, id);
  assert.equal(secrets.adminPass, 'new');
  assert.equal(input.guestAgent, true);
  assert.deepEqual(Object.keys(input.changes).toSorted(), ['imageId', 'imageProperties', 'metadata', 'name']);
  // Not yet: the disk is still the old one.
  assert.equal((await api.call('demo', 'GET', `/servers/${id}`)).body.server.name, 'before');
});

test('rebuild refuses an image that is not there, not active or too large, and unknown keys', async () => {
  await using api = await apiHarness();
  const large = '33333333-3333-4333-8333-333333333333';
  api.images.set(large, imageRecord({ id: large, virtual_size: 2 ** 40 }));
  const id = await api.add();
  for (const wanted of [
    { imageRef: '99999999-9999-4999-8999-999999999999' },
    { imageRef: large },
    { imageRef: 'text' },
    {},
    { imageRef: IMAGE, description: 'from 2.19' },
    { imageRef: IMAGE, user_data: '=' },
  ])
    assert.equal((await act(api, id, { rebuild: wanted })).status, 400, JSON.stringify(wanted));
  const described = await act(api, id, { rebuild: { imageRef: IMAGE, description: null } }, 'demo', '2.19');
  assert.equal(described.status, 202);
});

test('a rebuilt server that was shut off stays so', async () => {
  await using api = await apiHarness();
  for (const [from, run] of [
    ['stopped', false],
    ['active', true],
    ['error', true],
  ] as const) {
    const id = await api.add({ vm_state: from });
    await act(api, id, { rebuild: { imageRef: IMAGE } });
    assert.equal((await begun(api, id)).input.run, run, from);
  }
});

test('a backup says its type and number, and answers where the image is unless nothing is kept', async () => {
  await using api = await apiHarness();
  const backup = (rotation: unknown) => ({ createBackup: { name: 'b', backup_type: 'weekly', rotation } });
  const id = await api.add({ image_properties: '{"hw_qemu_guest_agent":"yes","os_require_quiesce":"yes"}' });
  const answer = await act(api, id, backup(3));
  const { input } = await begun(api, id);
  assert.match(String(answer.headers.location), new RegExp(`/image/v2/images/${input.imageId}$`));
  assert.deepEqual([input.rotation, input.backupType, input.quiesce], [3, 'weekly', 'required']);
  const { image_type, backup_type, instance_uuid, hw_qemu_guest_agent } = input.properties;
  assert.deepEqual([image_type, backup_type, instance_uuid, hw_qemu_guest_agent], ['backup', 'weekly', id, 'yes']);
  assert.equal((await act(api, await api.add(), backup(0))).headers.location, undefined);
  for (const wrong of [-1, 'many', null, 1.5])
    assert.equal((await act(api, await api.add(), backup(wrong))).status, 400);
});

test('lock: a reason from 2.73; an administrator’s cannot be undone by the owner', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  assert.equal((await act(api, id, { lock: { locked_reason: 'mine' } }, 'demo', '2.73')).status, 202);
  const shown = async () => (await api.call('demo', 'GET', `/servers/${id}`, { version: '2.73' })).body.server;
  assert.deepEqual([(await shown()).locked, (await shown()).locked_reason], [true, 'mine']);
  assert.equal((await act(api, id, { 'os-stop': null })).status, 409);
  assert.equal((await act(api, id, { unlock: null })).status, 202);
  assert.deepEqual([(await shown()).locked, (await shown()).locked_reason], [false, null]);
  assert.equal((await act(api, id, { lock: null }, 'admin')).status, 202);
  assert.equal((await act(api, id, { unlock: null })).status, 403);
  assert.equal((await act(api, id, { 'os-stop': null })).status, 409);
  assert.equal((await act(api, id, { unlock: null }, 'admin')).status, 202);
  assert.equal((await act(api, id, { lock: { locked_reason: '' } }, 'demo', '2.73')).status, 400);
  const path = `/servers/${id}/os-instance-actions`;
  const { instanceActions } = (await api.call('demo', 'GET', path)).body;
  const names = instanceActions.map(({ action }: { action: string }) => action).toSorted();
  assert.deepEqual(names, ['lock', 'lock', 'unlock', 'unlock']);
});

test('a password is changed only where the guest has an agent, and it is a secret', async () => {
  await using api = await apiHarness();
  const wanted = { changePassword: { adminPass: 'geheim' } };
  const without = await act(api, await api.add(), wanted);
  assert.equal(without.status, 409);
  assert.match(without.body.conflictingRequest.message, /hw_qemu_guest_agent=yes/);
  const id = await api.add({ image_properties: '{"hw_qemu_guest_agent":"yes"}' });
  assert.equal((await act(api, id, wanted)).status, 202);
  const operation = await begun(api, id);
  assert.deepEqual([operation.kind, operation.secrets.adminPass, operation.input], ['changePassword', 'geheim', {}]);
  assert.equal((await api.call('demo', 'GET', `/servers/${id}`)).body.server.status, 'PASSWORD');
});

test('resetState is for administrators, says the state, and abandons what waits for a person', async () => {
  await using api = await apiHarness();
  const id = await api.add({ vm_state: 'error', fault: JSON.stringify({ code: 500, message: 'm', created: 1 }) });
  const reset = (state: string, who: Caller) => act(api, id, { 'os-resetState': { state } }, who);
  assert.equal((await reset('active', 'demo')).status, 403);
  assert.equal((await reset('paused', 'admin')).status, 400);
  await act(api, id, { 'os-stop': null });
  assert.equal((await reset('active', 'admin')).status, 409, 'something is going on');
  await api.db.queries.updateTable('operations').set({ state: 'needs_attention' }).execute();
  await api.db.queries.updateTable('servers').set({ task_state: null }).execute();
  assert.equal((await reset('active', 'admin')).status, 202);
  const { server } = (await api.call('demo', 'GET', `/servers/${id}`)).body;
  assert.deepEqual([server.status, server.fault], ['ACTIVE', undefined]);
  const states = await api.db.queries.selectFrom('operations').select(['kind', 'state']).orderBy('kind').execute();
  assert.deepEqual(
    states.map(({ kind, state }) => `${kind} ${state}`),
    ['resetState done', 'stop abandoned'],
  );
});

test('trigger_crash_dump comes with 2.17', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  assert.equal((await act(api, id, { trigger_crash_dump: null }, 'demo', '2.16')).status, 400);
  assert.equal((await act(api, id, { trigger_crash_dump: null }, 'demo', '2.17')).status, 202);
  assert.equal((await begun(api, id)).state, 'done');
  const off = await api.add({ vm_state: 'stopped' });
  assert.equal((await act(api, off, { trigger_crash_dump: null }, 'demo', '2.17')).status, 409);
});

test('unshelve: a zone from 2.77 and only off the host, a host from 2.91 and only for administrators', async () => {
  await using api = await apiHarness();
  const shelved = { vm_state: 'shelved_offloaded', host: null, shelved_image_id: IMAGE } as const;
  const id = await api.add(shelved);
  assert.equal((await act(api, id, { unshelve: { availability_zone: 'nova' } }, 'demo', '2.77')).status, 202);
  const { input } = await begun(api, id);
  assert.deepEqual([input.availabilityZone, input.imageId, input.isOffloaded], ['nova', IMAGE, true]);
  const onHost = await api.add({ vm_state: 'shelved', shelved_image_id: IMAGE });
  const lost = await api.add({ vm_state: 'shelved_offloaded', host: null });
  assert.equal((await act(api, lost, { unshelve: null })).status, 409, 'never from another image');
  assert.equal((await act(api, onHost, { unshelve: { availability_zone: 'nova' } }, 'demo', '2.77')).status, 409);
  const forced = { unshelve: { host: 'host-1' } };
  assert.equal((await act(api, await api.add(shelved), forced, 'demo', '2.77')).status, 400);
  assert.equal((await act(api, await api.add(shelved), forced, 'demo', '2.91')).status, 403);
  assert.equal((await act(api, await api.add(shelved), forced, 'admin', '2.91')).status, 202);
});

test('a stronger request is accepted over a weaker one, which is told to undo itself', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  await act(api, id, { reboot: { type: 'SOFT' } });
  assert.equal((await act(api, id, { pause: null })).status, 409);
  assert.equal((await act(api, id, { reboot: { type: 'HARD' } })).status, 202);
  assert.equal((await act(api, id, { reboot: { type: 'HARD' } })).status, 409, 'one of a kind');
  const cancelled = await api.db.queries.selectFrom('operations').select(['kind', 'cancel_reason']).execute();
  const reasonOf = (kind: string) => cancelled.find((each) => each.kind === kind)?.cancel_reason;
  assert.equal(reasonOf('reboot'), "'hardReboot' was asked for");
  assert.equal(reasonOf('hardReboot'), null);
});

test('an action is cancelled by deleting it, as long as it is not over', async () => {
  await using api = await apiHarness();
  const id = await api.add();
  await act(api, id, { suspend: null });
  const [operation] = await api.db.queries.selectFrom('operations').selectAll().execute();
  const path = `/servers/${id}/os-instance-actions/${operation?.request_id}`;
  assert.equal((await api.call('reader', 'DELETE', path)).status, 403);
  assert.equal((await api.call('other', 'DELETE', path)).status, 404);
  assert.equal((await api.call('demo', 'DELETE', `${path.slice(0, -1)}x`)).status, 404);
  assert.equal((await api.call('demo', 'DELETE', path)).status, 202);
  const after = await api.db.queries.selectFrom('operations').select('cancel_reason').executeTakeFirst();
  assert.equal(after?.cancel_reason, 'demo asked for it');
  await api.db.queries.updateTable('operations').set({ state: 'undone', finished_at: 1 }).execute();
  const late = await api.call('demo', 'DELETE', path);
  assert.equal(late.status, 409);
  assert.match(
    late.body.conflictingRequest.message,
    /Action suspend of request req-.* cannot be cancelled: it is over/,
  );
});

test('DELETE is soft where the cloud reclaims late, and at once for what never came to a host', async () => {
  await using api = await apiHarness({}, { deletesSoftly: true });
  const kindFor = async (columns: object) => {
    const id = await api.add(columns);
    assert.equal((await api.call('demo', 'DELETE', `/servers/${id}`)).status, 204);
    return (await begun(api, id)).kind;
  };
  assert.equal(await kindFor({}), 'softDelete');
  assert.equal(await kindFor({ vm_state: 'error', host: null }), 'delete');
  assert.equal(await kindFor({ vm_state: 'shelved_offloaded', host: null }), 'delete');
  assert.equal(await kindFor({ vm_state: 'soft-delete', task_state: 'restoring' }), 'softDelete');
  // As one that is shelved, and its host may have nothing of it any more.
  assert.equal(await kindFor({ task_state: 'shelving_image_uploading' }), 'delete');
  for (const moved of [{ vm_state: 'resized' }, { task_state: 'resize_migrating' }] as const) {
    const refused = await api.call('demo', 'DELETE', `/servers/${await api.add(moved)}`);
    assert.equal(refused.status, 409);
    assert.match(
      refused.body.conflictingRequest.message,
      /confirm or revert that before it is deleted, or use forceDelete/,
    );
  }
  const onItsWay = await api.add({ task_state: 'soft-deleting' });
  assert.equal((await api.call('demo', 'DELETE', `/servers/${onItsWay}`)).status, 204);
  const deleted = await api.add({ vm_state: 'soft-delete' });
  assert.equal((await api.call('demo', 'DELETE', `/servers/${deleted}`)).status, 204);
  assert.equal(
    (await api.db.queries.selectFrom('operations').where('server_id', '=', deleted).selectAll().execute()).length,
    0,
  );
});

test('a status that comes from a task is found by it', async () => {
  await using api = await apiHarness();
  const rebooting = await api.add({ task_state: 'rebooting', operation_id: 'x' });
  const active = await api.add();
  const ids = async (status: string) =>
    (await api.call('demo', 'GET', `/servers?status=${status}`)).body.servers.map(({ id }: { id: string }) => id);
  assert.deepEqual(await ids('reboot'), [rebooting]);
  assert.deepEqual(await ids('ACTIVE'), [active]);
});
