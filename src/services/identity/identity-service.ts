/** The identity role as it is mounted: Keystone's Identity v3 under DevStack's path. */
import { identityFault } from '#http/fault.ts';
import type { Service } from '#http/server.ts';
import type { IdentityDeps } from './identity-deps.ts';
import { catalogRoutes } from './routes/catalog.ts';
import { domainRoutes } from './routes/domains.ts';
import { ownAccessRoutes } from './routes/own-access.ts';
import { projectRoutes } from './routes/projects.ts';
import { roleAssignmentRoutes } from './routes/role-assignments.ts';
import { roleGrantRoutes } from './routes/role-grants.ts';
import { roleRoutes } from './routes/roles.ts';
import { tokenRoutes } from './routes/tokens.ts';
import { userPasswordRoutes } from './routes/user-passwords.ts';
import { userRoutes } from './routes/users.ts';
import { versionRoutes } from './routes/versions.ts';

/** Describes the service; nothing is read or started until a request comes. */
export function identityService(deps: IdentityDeps): Service {
  return {
    name: 'keystone',
    prefix: '/identity',
    fault: identityFault,
    log: deps.log,
    routes: [
      ...versionRoutes(),
      ...tokenRoutes(deps),
      ...ownAccessRoutes(deps),
      ...userRoutes(deps),
      ...userPasswordRoutes(deps),
      ...projectRoutes(deps),
      ...roleRoutes(deps),
      ...roleGrantRoutes(deps),
      ...roleAssignmentRoutes(deps),
      ...domainRoutes(),
      ...catalogRoutes(deps),
    ],
  };
}
