/**
 * Makes tokens and says what a token is worth now: the only place that decides whether one counts.
 *
 * A token counts when it is sealed by one of our keys, has not expired, is not revoked, its user and project are
 * enabled, and the user has a role where it is for. Answers are cached by the token's text until anything in the
 * identity record changes; expiry is looked at every time.
 */
import { randomBytes } from 'node:crypto';
import type { Transaction } from 'kysely';
import type { Schema } from '#db/database.ts';
import { findProject, type Project } from '#db/repo/identity/projects.ts';
import { hasRoleSomewhere, listGrantedRoles } from '#db/repo/identity/role-assignments.ts';
import { listRoles, type Role } from '#db/repo/identity/roles.ts';
import { insertRevocation, isRevoked, type RevokedTokens } from '#db/repo/identity/token-revocations.ts';
import { findUser, type User } from '#db/repo/identity/users.ts';
import type { AuthContext } from '#http/auth.ts';
import { DEFAULT_DOMAIN } from '../domain.ts';
import type { IdentityRecord } from '../identity-record.ts';
import { impliedNames, withImplied } from '../implied-roles.ts';
import { open, seal } from './fernet.ts';
import { lruCache } from './lru-cache.ts';
import type { Moments } from './moments.ts';
import { type AuthMethod, pack, type TokenPayload, type TokenScope, unpack } from './payload.ts';
import type { KeyRing } from './signing-keys.ts';

const MAX_CACHED = 10_000;

/** A token that counts, with everything that an answer about it says. */
export interface VerifiedToken {
  readonly payload: TokenPayload;
  readonly user: User;
  readonly project: Project | null;
  /** Implied ones included; empty for an unscoped token. */
  readonly roles: readonly Role[];
  readonly auth: AuthContext;
}

export interface TokenRequest {
  readonly userId: string;
  readonly scope: TokenScope;
  readonly method: AuthMethod;
  /** `Moments.toIssue` of when the user was looked at. */
  readonly issuedAt: number;
  /** The token that was shown for this one: it hands on its methods, its chain and its expiry. */
  readonly parent?: TokenPayload;
}

export interface TokenAuthority {
  /** A token as asked; whether it counts (roles, enabled) is for `verify` to say. */
  issue(request: TokenRequest): Promise<string>;
  /** Null for a token that does not count. Throws only when the database does. Synchronous when it is cached. */
  verify(token: string): VerifiedToken | null | Promise<VerifiedToken | null>;
  /** Takes one token back; those that were had for it stay. */
  revoke(token: VerifiedToken): Promise<void>;
  /** Takes back all tokens of a user, on a project, or of a user on a project, as part of the write that is the reason. */
  revokeAll(trx: Transaction<Schema>, what: RevokedTokens): Promise<void>;
}

export function tokenAuthority(deps: {
  readonly record: IdentityRecord;
  readonly keys: KeyRing;
  readonly clock: () => number;
  readonly moments: Moments;
  readonly tokenLifetimeMs: number;
}): TokenAuthority {
  const { record, keys, clock, moments, tokenLifetimeMs } = deps;
  const cache = lruCache<VerifiedToken>(MAX_CACHED);
  record.onChange(() => cache.clear());

  async function load(token: string): Promise<VerifiedToken | null> {
    const { generation } = record;
    const sealed = open(await keys.all(), token);
    const payload = sealed && unpack(sealed);
    if (!payload || payload.expiresAt <= clock()) return null;
    const verified = await worth(record, payload);
    if (verified && generation === record.generation) cache.set(token, verified);
    return verified;
  }

  function verifyFresh(token: string): VerifiedToken | null | Promise<VerifiedToken | null> {
    const cached = cache.get(token);
    if (!cached) return load(token);
    if (clock() < cached.payload.expiresAt) return cached;
    cache.delete(token);
    return null;
  }

  return {
    async issue({ userId, scope, method, issuedAt, parent }) {
      const payload: TokenPayload = {
        auditId: randomBytes(16).toString('base64url'),
        chainAuditId: parent ? (parent.chainAuditId ?? parent.auditId) : null,
        userId,
        scope,
        methods: parent ? [...new Set([...parent.methods, method])] : [method],
        issuedAt,
        expiresAt: parent?.expiresAt ?? issuedAt + tokenLifetimeMs,
      };
      return seal(await keys.signing(), pack(payload), issuedAt);
    },
    verify: (token) => (record.isFresh() ? verifyFresh(token) : record.refresh().then(() => verifyFresh(token))),
    async revoke({ payload }) {
      const { auditId, expiresAt, issuedAt } = payload;
      // Another process, whose clock is ahead, may have issued it.
      const before = Math.max(moments.toRevoke(), issuedAt);
      await record.write((trx) => insertRevocation(trx, { what: { auditId }, before, expiresAt }));
    },
    async revokeAll(trx, what) {
      const before = moments.toRevoke();
      await insertRevocation(trx, { what, before, expiresAt: before + tokenLifetimeMs });
    },
  };
}

/** What a genuine token is worth by the record, or null for nothing. */
async function worth(record: IdentityRecord, payload: TokenPayload): Promise<VerifiedToken | null> {
  const { queries } = record;
  const { auditId, userId, scope, issuedAt } = payload;
  const projectId = scope.kind === 'project' ? scope.projectId : null;
  const user = await findUser(queries, userId);
  if (!user?.enabled) return null;
  if (await isRevoked(queries, { auditId, userId, projectId, issuedAt })) return null;
  const project = projectId === null ? null : await findProject(queries, projectId);
  if (projectId !== null && !project?.enabled) return null;
  const roles = await withImplied(queries, await grantedIn(record, payload));
  if (scope.kind !== 'unscoped' && roles.length === 0) return null;
  return { payload, user, project, roles, auth: authContext(payload, user, project, roles) };
}

/** There are no grants on the domain: who is admin of any project administers the cloud, and so the domain. */
async function grantedIn({ queries }: IdentityRecord, { scope, userId }: TokenPayload): Promise<readonly Role[]> {
  if (scope.kind === 'unscoped') return [];
  if (scope.kind === 'project') return listGrantedRoles(queries, userId, scope.projectId);
  if (!(await hasRoleSomewhere(queries, userId, 'admin'))) return [];
  return listRoles(queries, impliedNames('admin'));
}

function authContext(payload: TokenPayload, user: User, project: Project | null, roles: readonly Role[]): AuthContext {
  const names = roles.map((role) => role.name);
  return Object.freeze({
    userId: user.id,
    userName: user.name,
    userDomainId: DEFAULT_DOMAIN.id,
    projectId: project?.id ?? null,
    projectName: project?.name ?? null,
    roles: Object.freeze(names),
    isAdmin: names.includes('admin'),
    expiresAt: payload.expiresAt,
  });
}
