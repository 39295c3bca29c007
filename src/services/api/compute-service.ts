/** nova-api: the compute REST API, put together from its resources. */
import type { Aliases } from '#http/address.ts';
import { computeFault } from '#http/fault.ts';
import type { Service } from '#http/server.ts';
import { aggregateActionRoutes } from './aggregates/action.ts';
import { aggregateImageRoutes } from './aggregates/images.ts';
import { aggregateRoutes } from './aggregates/routes.ts';
import type { ApiDeps } from './api-deps.ts';
import { availabilityZoneRoutes } from './availability-zones.ts';
import { consoleRoutes } from './consoles/routes.ts';
import { flavorAccessRoutes } from './flavors/access.ts';
import { extraSpecRoutes } from './flavors/extra-specs.ts';
import { flavorRoutes } from './flavors/routes.ts';
import { olderHypervisorRoutes } from './hypervisors/older-routes.ts';
import { hypervisorRoutes } from './hypervisors/routes.ts';
import { instanceActionRoutes } from './instance-actions/routes.ts';
import { keypairRoutes } from './keypairs/routes.ts';
import { limitRoutes } from './limits.ts';
import { serverMigrationRoutes } from './migrations/of-server.ts';
import { migrationRoutes } from './migrations/routes.ts';
import { osHostRoutes } from './os-hosts.ts';
import { quotaRoutes } from './quotas/routes.ts';
import { securityGroupRoutes } from './security-groups/routes.ts';
import { serverExternalEventRoutes } from './server-external-events.ts';
import { serverGroupRoutes } from './server-groups/routes.ts';
import { serverActionRoutes } from './servers/actions/routes.ts';
import { interfaceRoutes } from './servers/interfaces.ts';
import { serverIpRoutes } from './servers/ips.ts';
import { serverMetadataRoutes } from './servers/metadata.ts';
import { serverRoutes } from './servers/routes.ts';
import { serverSecurityGroupRoutes } from './servers/security-groups.ts';
import { serverTagRoutes } from './servers/tags.ts';
import { serviceRoutes } from './services/routes.ts';
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
      ...serverGroupRoutes(deps),
      ...serverActionRoutes(deps),
      ...serverMetadataRoutes(deps),
      ...serverTagRoutes(deps),
      ...serverIpRoutes(deps),
      ...interfaceRoutes(deps),
      ...serverSecurityGroupRoutes(deps),
      ...securityGroupRoutes(deps),
      ...consoleRoutes(deps),
      ...instanceActionRoutes(deps),
      ...limitRoutes(deps),
      ...quotaRoutes(deps),
      ...availabilityZoneRoutes(deps),
      ...serviceRoutes(deps),
      ...hypervisorRoutes(deps),
      ...olderHypervisorRoutes(deps),
      ...osHostRoutes(deps),
      ...serverExternalEventRoutes(deps),
      ...aggregateRoutes(deps),
      ...aggregateActionRoutes(deps),
      ...aggregateImageRoutes(deps),
      ...migrationRoutes(deps),
      ...serverMigrationRoutes(deps),
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
