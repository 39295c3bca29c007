/** The envelope is Fernet as specified, and what is inside comes out as it went in. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { open, seal } from './fernet.ts';
import { pack, type TokenPayload, unpack } from './payload.ts';

test("the specification's own token opens", () => {
  const key = Buffer.from('cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4=', 'base64url');
  const token = 'gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA';
  // The specification writes padding; Keystone's tokens have none.
  assert.equal(open([key], token)?.toString(), 'hello');
});

test('any of several keys opens, a key that is not there does not', () => {
  const [one, two, three] = [randomBytes(32), randomBytes(32), randomBytes(32)] as const;
  const token = seal(two, Buffer.from('x'), 0);
  assert.equal(open([one, two], token)?.toString(), 'x');
  assert.equal(open([one, three], token), null);
  assert.equal(open([], token), null);
});

test('every kind of payload comes back as it was', () => {
  const auditId = randomBytes(16).toString('base64url');
  const userId = randomBytes(16).toString('hex');
  const base = { auditId, chainAuditId: null, userId, methods: ['password'], issuedAt: 1, expiresAt: 2 ** 47 } as const;
  const payloads: TokenPayload[] = [
    { ...base, scope: { kind: 'unscoped' } },
    { ...base, scope: { kind: 'domain' }, chainAuditId: randomBytes(16).toString('base64url') },
    { ...base, scope: { kind: 'project', projectId: randomBytes(16).toString('hex') }, methods: ['password', 'token'] },
    { ...base, scope: { kind: 'project', projectId: userId }, chainAuditId: auditId, methods: ['internal'] },
  ];
  for (const payload of payloads) assert.deepEqual(unpack(pack(payload)), payload);
  for (const bad of [Buffer.alloc(0), Buffer.alloc(47), Buffer.alloc(47, 1), Buffer.alloc(200, 1)])
    assert.equal(unpack(bad), null);
});
