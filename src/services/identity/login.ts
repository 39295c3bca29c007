/**
 * Who somebody is: the credentials of `POST /v3/auth/tokens` turned into a user, or one and the same refusal.
 *
 * A refusal has the same text whatever was wrong, and comes after the same work (a password is always hashed), so that
 * it tells neither whether a user exists nor whether it is enabled.
 */
import { type Static, Type } from 'typebox';
import { findUser, findUserByName, type User } from '#db/repo/identity/users.ts';
import { CloudError } from '#domain/errors.ts';
import { isDefaultDomain } from './domain.ts';
import type { IdentityDeps } from './identity-deps.ts';
import type { AuthMethod, TokenPayload } from './token/payload.ts';

/** Longer ones are nobody's; the bound keeps hashing them cheap. */
const MAX_PASSWORD_SHOWN = 4096;

export const DomainSchema = Type.Object({ id: Type.Optional(Type.String()), name: Type.Optional(Type.String()) });

export const IdentitySchema = Type.Object({
  methods: Type.Array(Type.String(), { minItems: 1, maxItems: 8 }),
  password: Type.Optional(
    Type.Object({
      user: Type.Object({
        id: Type.Optional(Type.String()),
        name: Type.Optional(Type.String()),
        domain: Type.Optional(DomainSchema),
        password: Type.String({ maxLength: MAX_PASSWORD_SHOWN }),
      }),
    }),
  ),
  token: Type.Optional(Type.Object({ id: Type.String() })),
});

export interface Login {
  readonly userId: string;
  readonly defaultProjectId: string | null;
  readonly method: AuthMethod;
  /** From when on a token that comes of it counts. */
  readonly issuedAt: number;
  /** Where a token was shown: its contents. */
  readonly parent?: TokenPayload;
}

/** Throws `unauthorized` for whatever does not prove who the caller is. */
export async function login(deps: IdentityDeps, identity: Static<typeof IdentitySchema>): Promise<Login> {
  const [method] = identity.methods;
  if (identity.methods.length === 1 && method === 'password' && identity.password)
    return byPassword(deps, identity.password.user);
  if (identity.methods.length === 1 && method === 'token' && identity.token) return byToken(deps, identity.token.id);
  deps.log.info({ methods: identity.methods.map((each) => each.slice(0, 64)) }, 'authentication method refused');
  throw new CloudError('unauthorized', {});
}

type ShownUser = NonNullable<Static<typeof IdentitySchema>['password']>['user'];

async function byPassword(deps: IdentityDeps, shown: ShownUser): Promise<Login> {
  if (shown.id === undefined && (shown.name === undefined || shown.domain === undefined))
    throw new CloudError('badRequest', { reason: 'Expecting to find id, or name and domain, in user.' });
  const issuedAt = deps.moments.toIssue();
  const user = await shownUser(deps, shown);
  const right = await deps.passwords.verify(shown.password, user?.passwordHash ?? null);
  if (user && right && user.enabled)
    return { userId: user.id, defaultProjectId: user.defaultProjectId, method: 'password', issuedAt };
  // Not the name: people type their password there.
  deps.log.info({ user_id: user?.id ?? null, enabled: user?.enabled ?? null }, 'password login refused');
  throw new CloudError('unauthorized', {});
}

function shownUser(deps: IdentityDeps, shown: ShownUser): Promise<User | null> | null {
  if (shown.id !== undefined) return findUser(deps.record.queries, shown.id);
  if (!isDefaultDomain(shown.domain)) return null;
  return findUserByName(deps.record.queries, shown.name ?? '');
}

async function byToken(deps: IdentityDeps, token: string): Promise<Login> {
  const issuedAt = deps.moments.toIssue();
  const known = await deps.tokens.verify(token);
  if (!known) throw new CloudError('unauthorized', {});
  const { user, payload } = known;
  return { userId: user.id, defaultProjectId: user.defaultProjectId, method: 'token', issuedAt, parent: payload };
}
