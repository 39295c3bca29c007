/** nova-api: the compute REST API, put together from its resources. */
import type { Aliases } from '#http/address.ts';
import { computeFault } from '#http/fault.ts';
import type { Service } from '#http/server.ts';
import type { ApiDeps } from './api-deps.ts';
import { flavorAccessRoutes } from './flavors/access.ts';
import { extraSpecRoutes } from './flavors/extra-specs.ts';
import { flavorRoutes } from './flavors/routes.ts';
import { instanceActionRoutes } from './instance-actions/routes.ts';
import { keypairRoutes } from './keypairs/routes.ts';
import { limitRoutes } from './limits.ts';
import { serverActionRoutes } from './servers/actions.ts';
import { serverRoutes } from './servers/routes.ts';
import { MICROVERSIONS, versionRoutes } from './versions.ts';

/** Mounted at `/compute`; all routes but the version documents are below `/v2.1`. */
export function computeService(deps: ApiDeps): Service {
  return {
    name: 'nova-api',
    prefix: '/compute',
    fault: computeFault,
    microversions: { ...MICROVERSIONS, below: '/v2.1/' },
    requestIdHeader: 'x-compute-request-id',
    aliases: olderPaths,
    log: deps.log,
    routes: [
      ...versionRoutes(),
      ...flavorRoutes(deps),
      ...extraSpecRoutes(deps),
      ...flavorAccessRoutes(deps),
      ...keypairRoutes(deps),
      ...serverRoutes(deps),
      ...serverActionRoutes(deps),
      ...instanceActionRoutes(deps),
      ...limitRoutes(deps),
    ],
  };
}

/** `/v2.1/{project_id}/…` of older catalogues, and `/v2/…`: version 2.0, which is 2.1 without microversions. */
const olderPaths: Aliases = (path) => {
  const [, version, projectId, rest] = /^\/(v2|v2\.1)(?:\/([0-9a-f]{32}|[0-9a-f-]{36}))?(\/.+)$/.exec(path) ?? [];
  if (rest === undefined || (version === 'v2.1' && projectId === undefined)) return null;
  return {
    path: `/v2.1${rest}`,
    ...(projectId !== undefined && { projectId }),
    ...(version === 'v2' && { isLegacy: true as const }),
  };
};
