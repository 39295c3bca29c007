/**
 * Who may do what, as Neutron's defaults have it: readers read and members write what is their project's; an administrator
 * everything. What is shared, or external, everybody sees; what is another's alone does not exist.
 */
import { CloudError } from '#domain/errors.ts';
import { type Access, type AuthContext, caller } from '#http/auth.ts';

export type Who = AuthContext & { readonly projectId: string };

export const whoOf: (request: { readonly auth: AuthContext | null }) => Who = caller;

/** Whose things the caller sees besides those that all see; null: everybody's. */
export function scopeOf(who: Who): string | null {
  return who.isAdmin ? null : who.projectId;
}

export function mayRead(rule: string): Access {
  return { rule, role: 'reader' };
}

export function mayWrite(rule: string): Access {
  return { rule, role: 'member' };
}

/** Throws 403 for what the caller sees but is another project's. */
export function requireOwner(who: Who, row: { readonly project_id: string }, rule: string): void {
  if (!who.isAdmin && row.project_id !== who.projectId) throw new CloudError('policyForbids', { rule });
}

/** Throws 403 for anybody but an administrator. */
export function requireAdmin(who: Who, rule: string): void {
  if (!who.isAdmin) throw new CloudError('policyForbids', { rule });
}

/** Whose a new thing is. Throws 400 where the two names of it differ, 403 where it is not the caller's project. */
export function ownerOf(
  who: Who,
  body: { readonly project_id?: string | undefined; readonly tenant_id?: string | undefined },
  rule: string,
): string {
  const { project_id: project, tenant_id: tenant } = body;
  if (project !== undefined && tenant !== undefined && project !== tenant)
    throw new CloudError('badRequest', { reason: "'project_id' and 'tenant_id' differ" });
  const owner = project ?? tenant ?? who.projectId;
  if (owner !== who.projectId) requireAdmin(who, rule);
  return owner;
}
