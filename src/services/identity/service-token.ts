/**
 * Tokens that this process makes for itself, without a password: what the embedded compute role shows to the image
 * service when no user's token is at hand. Only a process with the signing keys can make one.
 */

import { findProjectByName } from '#db/repo/identity/projects.ts';
import { findUserByName } from '#db/repo/identity/users.ts';
import type { IdentityRecord } from './identity-record.ts';
import type { TokenAuthority } from './token/authority.ts';
import type { Moments } from './token/moments.ts';

/** The service user of bootstrap, and the project on which it has the role `service`. */
export const SERVICE_USER = 'nova';
export const SERVICE_PROJECT = 'service';

export interface ServiceToken {
  readonly token: string;
  /** Epoch ms; take a new one well before. */
  readonly expiresAt: number;
}

/** A token of user `nova` on project `service`. Throws where bootstrap's user is gone or disabled. */
export async function issueServiceToken(deps: {
  readonly record: IdentityRecord;
  readonly tokens: TokenAuthority;
  readonly moments: Moments;
}): Promise<ServiceToken> {
  const { record, tokens } = deps;
  const issuedAt = deps.moments.toIssue();
  const user = await findUserByName(record.queries, SERVICE_USER);
  const project = await findProjectByName(record.queries, SERVICE_PROJECT);
  if (!user || !project)
    throw new Error(`there is no user ${SERVICE_USER} with a project ${SERVICE_PROJECT}; bootstrap`);
  const scope = { kind: 'project', projectId: project.id } as const;
  const token = await tokens.issue({ userId: user.id, scope, method: 'internal', issuedAt });
  const verified = await tokens.verify(token);
  if (!verified) throw new Error(`user ${SERVICE_USER} is disabled or has lost its role on ${SERVICE_PROJECT}`);
  return { token, expiresAt: verified.payload.expiresAt };
}

const RENEW_BEFORE_MS = 600_000;

/** Answers a token that is good for ten minutes at least, each time it is asked. */
export function serviceTokens(
  deps: Parameters<typeof issueServiceToken>[0] & { readonly clock: () => number },
): () => Promise<string> {
  let current: ServiceToken | undefined;
  return async () => {
    if (!current || current.expiresAt - deps.clock() < RENEW_BEFORE_MS) current = await issueServiceToken(deps);
    return current.token;
  };
}
