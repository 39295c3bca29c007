/**
 * Who is calling: the contents of a token as services see them, and the port that turns a token into them.
 *
 * In one process the identity role validates directly; a service in its own process asks it over HTTP.
 */
import { CloudError } from '#domain/errors.ts';

export interface AuthContext {
  readonly userId: string;
  readonly userName: string;
  readonly userDomainId: string;
  /** Null for an unscoped or domain-scoped token. */
  readonly projectId: string | null;
  readonly projectName: string | null;
  /** Role names, implied ones included: an admin has `admin`, `member` and `reader`. */
  readonly roles: readonly string[];
  readonly isAdmin: boolean;
  /** Epoch ms. */
  readonly expiresAt: number;
}

/** Who may call: nobody in particular, any valid token, or a role on the token's project under a named policy rule. */
export type Access =
  | 'anyone'
  | 'token'
  | { readonly rule: string; readonly role: 'any' | 'reader' | 'member' | 'admin' | 'service' };

/** Answers null for a token that is malformed, expired, revoked or of a disabled user or project. Never throws for those. */
export type Authenticator = (token: string) => Promise<AuthContext | null> | AuthContext | null;

/** The caller of a request to a route that needs a token with a project. */
export function caller(request: { readonly auth: AuthContext | null }): AuthContext & { readonly projectId: string } {
  if (!request.auth?.projectId) throw new CloudError('unauthorized', {});
  return request.auth as AuthContext & { projectId: string };
}

/** Throws 401 without a usable token and 403 where the policy rule forbids. */
export function checkAccess(access: Access, auth: AuthContext | null): void {
  if (access === 'anyone') return;
  if (!auth) throw new CloudError('unauthorized', {});
  if (access === 'token') return;
  if (auth.isAdmin) return;
  if (!auth.projectId) throw new CloudError('policyForbids', { rule: access.rule });
  if (access.role !== 'any' && !auth.roles.includes(access.role))
    throw new CloudError('policyForbids', { rule: access.rule });
}
