/** What a role brings with it: admin ⊃ member ⊃ reader, as Keystone bootstraps it. `service` implies nothing. */
import type { Queries } from '#db/database.ts';
import { listRoles, type Role } from '#db/repo/identity/roles.ts';

/** The roles that the cloud cannot do without; they can be neither changed nor deleted. */
export const BUILT_IN_ROLES = ['admin', 'member', 'reader', 'service'] as const;

export function isBuiltIn(name: string): boolean {
  return (BUILT_IN_ROLES as readonly string[]).includes(name);
}

/** The names that `name` implies, itself first. */
export function impliedNames(name: string): readonly string[] {
  if (name === 'admin') return ['admin', 'member', 'reader'];
  if (name === 'member') return ['member', 'reader'];
  return [name];
}

/** The granted roles with all that they imply, each once. */
export async function withImplied(queries: Queries, granted: readonly Role[]): Promise<readonly Role[]> {
  const names = new Set(granted.flatMap((role) => impliedNames(role.name)));
  if (names.size === granted.length) return granted;
  return listRoles(queries, [...names]);
}
