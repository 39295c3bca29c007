/** Who may do what here: admins everything, everybody a few things with their own account. */
import { CloudError } from '#domain/errors.ts';
import type { Access, AuthContext } from '#http/auth.ts';
import type { ServiceRequest } from '#http/route.ts';

/** Access for admins under Keystone's name of the rule. */
export function adminMay(rule: string): Access {
  return { rule: `identity:${rule}`, role: 'admin' };
}

/** The caller of a route whose access is `token` or a rule; unscoped tokens included. */
export function callerOf(request: ServiceRequest<unknown, unknown>): AuthContext {
  if (!request.auth) throw new CloudError('unauthorized', {});
  return request.auth;
}

/** Throws 403 unless the caller is that user or an admin. Says nothing about whether the user exists. */
export function requireSelf(request: ServiceRequest<unknown, unknown>, userId: string, rule: string): void {
  const auth = callerOf(request);
  if (!auth.isAdmin && auth.userId !== userId) throw new CloudError('policyForbids', { rule: `identity:${rule}` });
}
