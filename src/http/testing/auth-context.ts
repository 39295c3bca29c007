/** Who calls a service under test. */

import type { AuthContext } from '../auth.ts';

/** A user of that name in that project, for ever; the role `admin` makes an administrator. */
export const authContext = (userName: string, projectId: string, roles: readonly string[]): AuthContext => ({
  userId: `user-${userName}`,
  userName,
  userDomainId: 'default',
  projectId,
  projectName: projectId,
  roles,
  isAdmin: roles.includes('admin'),
  expiresAt: Number.MAX_SAFE_INTEGER,
});
