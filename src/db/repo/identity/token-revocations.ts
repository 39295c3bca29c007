/** Tokens that no longer count although they have not expired. Rows go when every token they refuse has expired. */
import { randomUUID } from 'node:crypto';
import type { Queries } from '#db/database.ts';

/** What a revocation is about: one token, all of a user, those of a user on a project, or all on a project. */
export type RevokedTokens =
  | { readonly auditId: string }
  | { readonly userId: string; readonly projectId?: string }
  | { readonly projectId: string };

export interface Revocation {
  readonly what: RevokedTokens;
  /** Epoch ms; tokens issued until then, that moment included, are refused. */
  readonly before: number;
  /** Epoch ms; the latest that any of these tokens expires by itself. */
  readonly expiresAt: number;
}

/** Adds a revocation and drops those that have served their time. */
export async function insertRevocation(queries: Queries, revocation: Revocation): Promise<void> {
  const { what, before, expiresAt } = revocation;
  await queries.deleteFrom('token_revocations').where('expires_at', '<', before).execute();
  await queries
    .insertInto('token_revocations')
    .values({
      id: randomUUID(),
      audit_id: 'auditId' in what ? what.auditId : null,
      user_id: 'userId' in what ? what.userId : null,
      project_id: 'projectId' in what ? (what.projectId ?? null) : null,
      before,
      expires_at: expiresAt,
    })
    .execute();
}

export interface IssuedToken {
  readonly auditId: string;
  readonly userId: string;
  readonly projectId: string | null;
  /** Epoch ms. */
  readonly issuedAt: number;
}

/** True where any revocation matches. Each branch of the `or` has an index. */
export async function isRevoked(queries: Queries, token: IssuedToken): Promise<boolean> {
  const row = await queries
    .selectFrom('token_revocations')
    .select('id')
    .where('before', '>=', token.issuedAt)
    .where(({ eb, or, and }) =>
      or([
        eb('audit_id', '=', token.auditId),
        and([
          eb('user_id', '=', token.userId),
          or([eb('project_id', 'is', null), eb('project_id', '=', token.projectId ?? '')]),
        ]),
        and([eb('user_id', 'is', null), eb('project_id', '=', token.projectId ?? '')]),
      ]),
    )
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
