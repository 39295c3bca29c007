/** Key pairs: fingerprints as ssh-keygen has them, whose they are, and what changed with microversions. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { type ApiHarness, apiHarness, type Caller } from '../api-harness.ts';

const ED25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWOUYtmDCyAZlhJVnJvIKS8QjjzH5uPbyhK/mp3d3nN me@example';

const create = (api: ApiHarness, keypair: object, version = '2.1', who: Caller = 'demo') =>
  api.call(who, 'POST', '/os-keypairs', { version, body: { keypair } });

const names = async (api: ApiHarness, who: Caller, query = '', version = '2.1') =>
  (await api.call(who, 'GET', `/os-keypairs${query}`, { version })).body.keypairs.map(
    (each: { keypair: { name: string } }) => each.keypair.name,
  );

test('a key is answered 200 until 2.1 and 201 with its type from 2.2', async () => {
  await using api = await apiHarness();
  const old = await create(api, { name: 'old', public_key: ED25519 });
  assert.equal(old.status, 200);
  assert.deepEqual(Object.keys(old.body.keypair).toSorted(), ['fingerprint', 'name', 'public_key', 'user_id']);
  const newer = await create(api, { name: 'new', public_key: ED25519, type: 'ssh' }, '2.2');
  assert.equal(newer.status, 201);
  assert.equal(newer.body.keypair.type, 'ssh');
  assert.equal((await create(api, { name: 'x', public_key: ED25519, type: 'ssh' }, '2.1')).status, 400);
  assert.equal((await api.call('demo', 'DELETE', '/os-keypairs/old')).status, 202);
  assert.equal((await api.call('demo', 'DELETE', '/os-keypairs/new', { version: '2.2' })).status, 204);
});

test('a show has more than a list', async () => {
  await using api = await apiHarness();
  await create(api, { name: 'mine', public_key: ED25519 });
  const { keypair } = (await api.call('demo', 'GET', '/os-keypairs/mine')).body;
  assert.deepEqual(Object.keys(keypair).toSorted(), [
    'created_at',
    'deleted',
    'deleted_at',
    'fingerprint',
    'id',
    'name',
    'public_key',
    'updated_at',
    'user_id',
  ]);
  const [{ keypair: listed }] = (await api.call('demo', 'GET', '/os-keypairs')).body.keypairs;
  assert.deepEqual(Object.keys(listed).toSorted(), ['fingerprint', 'name', 'public_key']);
});

test('a generated key is an RSA pair whose private half comes once', async () => {
  await using api = await apiHarness();
  const { keypair } = (await create(api, { name: 'made' })).body;
  const secret = createPrivateKey(keypair.private_key);
  assert.equal(secret.asymmetricKeyType, 'rsa');
  const [type, blob] = keypair.public_key.split(' ');
  assert.equal(type, 'ssh-rsa');
  const { n, e } = createPublicKey(secret).export({ format: 'jwk' });
  assert.ok(Buffer.from(blob, 'base64').includes(Buffer.from(n ?? '', 'base64url')));
  const halves = createPublicKey({ key: { kty: 'RSA', n: n ?? '', e: e ?? '' }, format: 'jwk' });
  assert.ok(verify('sha256', Buffer.from('x'), halves, sign('sha256', Buffer.from('x'), secret)));
  const shown = (await api.call('demo', 'GET', '/os-keypairs/made')).body.keypair;
  assert.equal('private_key' in shown, false);
  assert.equal((await create(api, { name: 'made-too' }, '2.92')).status, 400, 'from 2.92 on clients make their own');
});

test('fingerprints are those of ssh-keygen', {
  skip: hasSshKeygen() ? false : 'there is no ssh-keygen to compare with',
}, async (t) => {
  await using api = await apiHarness();
  for (const type of ['ed25519', 'rsa', 'ecdsa']) {
    await t.test(type, async () => {
      const { publicKey, fingerprint } = made(type);
      const answer = await create(api, { name: type, public_key: publicKey });
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.keypair.fingerprint, fingerprint);
    });
  }
});

test('what is no key is refused, and names have Nova’s characters', async () => {
  await using api = await apiHarness();
  const blob = ED25519.split(' ')[1];
  const noKeys = [
    'x',
    'ssh-ed25519',
    'ssh-ed25519 !!!',
    `ssh-rsa ${blob}`,
    `unknown ${blob}`,
    '-----BEGIN',
    `ssh-rsa AAAA`,
  ];
  for (const public_key of [...noKeys, '', 1, null])
    assert.equal((await create(api, { name: 'bad', public_key })).status, 400, String(public_key));
  for (const name of ['', ' ', 'a/b', 'a\u0000', 'a@b', 'x'.repeat(256), 1])
    assert.equal((await create(api, { name, public_key: ED25519 })).status, 400, String(name));
  assert.equal((await create(api, { name: 'a@b.c', public_key: ED25519 }, '2.92')).status, 201);
  assert.deepEqual(await names(api, 'demo'), ['a@b.c']);
});

test('keys are their user’s: not another user’s of the project, and an administrator’s by user_id from 2.10', async () => {
  await using api = await apiHarness();
  await create(api, { name: 'mine', public_key: ED25519 });
  assert.deepEqual(await names(api, 'mate'), []);
  for (const who of ['mate', 'other', 'admin'] as const) {
    assert.equal((await api.call(who, 'GET', '/os-keypairs/mine')).status, 404);
    assert.equal((await api.call(who, 'DELETE', '/os-keypairs/mine')).status, 404);
  }
  const query = '?user_id=user-demo';
  assert.deepEqual(await names(api, 'admin', query, '2.10'), ['mine']);
  assert.deepEqual(await names(api, 'admin', query, '2.9'), []);
  assert.equal((await api.call('mate', 'GET', `/os-keypairs${query}`, { version: '2.10' })).status, 403);
  const theirs = { name: 'given', public_key: ED25519, user_id: 'user-demo' };
  assert.equal((await create(api, theirs, '2.10', 'mate')).status, 403);
  assert.equal((await create(api, theirs, '2.10', 'admin')).status, 201);
  assert.deepEqual(await names(api, 'demo'), ['given', 'mine']);
});

test('a name that is taken is 409, and too many are 403', async () => {
  await using api = await apiHarness({ keyPairs: 2 });
  await create(api, { name: 'a', public_key: ED25519 });
  const again = await create(api, { name: 'a', public_key: ED25519 });
  assert.deepEqual([again.status, again.body.conflictingRequest.message], [409, "Key pair 'a' already exists."]);
  await create(api, { name: 'b', public_key: ED25519 });
  const third = await create(api, { name: 'c', public_key: ED25519 });
  assert.deepEqual([third.status, third.body.forbidden.message], [403, 'Quota exceeded, too many key pairs.']);
  // Pairs that are made here, which takes a while between the question and the writing.
  const wishes = ['p', 'q', 'r', 's'].map((name) => create(api, { name }, '2.1', 'mate'));
  const statuses = (await Promise.all(wishes)).map(({ status }) => status);
  assert.deepEqual(statuses.toSorted(), [200, 200, 403, 403], 'also when they come at the same moment');
});

test('from 2.35 on the list comes in pages', async () => {
  await using api = await apiHarness();
  for (const name of ['c', 'a', 'b']) await create(api, { name, public_key: ED25519 });
  const page = (await api.call('demo', 'GET', '/os-keypairs?limit=2', { version: '2.35' })).body;
  assert.equal(page.keypairs.length, 2);
  assert.match(page.keypairs_links[0].href, /limit=2&marker=b$/);
  assert.deepEqual(await names(api, 'demo', '?limit=2&marker=b', '2.35'), ['c']);
  assert.equal((await names(api, 'demo', '?limit=2', '2.34')).length, 3);
  assert.equal((await api.call('demo', 'GET', '/os-keypairs?marker=z', { version: '2.35' })).status, 400);
});

function hasSshKeygen(): boolean {
  try {
    execFileSync('ssh-keygen', ['-?'], { stdio: 'ignore' });
  } catch (error) {
    // It does not know the option, but it is there.
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
  return true;
}

/** A new key of OpenSSH's, and its own word for the fingerprint. */
function made(type: string): { publicKey: string; fingerprint: string } {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-keys-'));
  try {
    const path = join(dir, 'key');
    execFileSync('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'a comment', '-f', path]);
    const said = execFileSync('ssh-keygen', ['-l', '-E', 'md5', '-f', `${path}.pub`], { encoding: 'utf8' });
    return {
      publicKey: readFileSync(`${path}.pub`, 'utf8'),
      fingerprint: said.split(' ')[1]?.slice('MD5:'.length) ?? '',
    };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
