/**
 * The network role: Neutron's Network v2 API as rows. What hosts do about it is elsewhere; they are told that something has
 * changed, and ask.
 *
 * What must stay true: no address is given twice on a subnet, another project's things do not exist, and what is not in a row
 * is counted, not kept.
 */
import type { TSchema } from 'typebox';
import type { Service } from '#http/server.ts';
import { agentRoutes } from './agents.ts';
import { autoTopologyRoutes } from './auto-topology.ts';
import type { NetworkDeps } from './deps.ts';
import { emptyLists } from './empty-lists.ts';
import { extensionRoutes } from './extensions.ts';
import { networkFault } from './fault.ts';
import { floatingIpKind } from './floating-ips/floating-ip-kind.ts';
import { ipAvailabilityRoutes } from './ip-availability.ts';
import { networkKind } from './networks/network-kind.ts';
import { portKind } from './ports/port-kind.ts';
import { quotaRoutes } from './quotas.ts';
import { collectionRoutes, find, type Kind } from './resource/collection.ts';
import { routerInterfaceRoutes } from './routers/interfaces.ts';
import { routerKind } from './routers/router-kind.ts';
import { securityGroupKind } from './security-groups/group-kind.ts';
import { securityGroupRuleKind } from './security-groups/rule-kind.ts';
import { subnetKind } from './subnets/subnet-kind.ts';
import { type Tagged, tagRoutes } from './tags.ts';
import { versionRoutes } from './versions.ts';

/** Describes the service; does nothing until a request comes. */
export function networkService(deps: NetworkDeps): Service {
  const groupKind = securityGroupKind(deps);
  return {
    name: 'neutron',
    prefix: '/network',
    fault: networkFault,
    log: deps.log,
    routes: [
      ...versionRoutes(),
      ...extensionRoutes(),
      ...collectionRoutes(deps, networkKind),
      ...collectionRoutes(deps, subnetKind),
      ...collectionRoutes(deps, portKind),
      ...collectionRoutes(deps, routerKind),
      ...routerInterfaceRoutes(deps),
      ...collectionRoutes(deps, floatingIpKind),
      ...collectionRoutes(deps, groupKind),
      ...collectionRoutes(deps, securityGroupRuleKind),
      ...tagRoutes(deps, [
        tagged(networkKind),
        tagged(subnetKind),
        tagged(portKind),
        tagged(routerKind),
        tagged(floatingIpKind),
        tagged(groupKind),
      ]),
      ...quotaRoutes(deps),
      ...agentRoutes(deps),
      ...ipAvailabilityRoutes(deps),
      ...autoTopologyRoutes(deps),
      ...emptyLists(),
    ],
  };
}

function tagged<Row extends { id: string; project_id: string }, New extends TSchema, Changes extends TSchema>(
  kind: Kind<Row, New, Changes>,
): Tagged {
  return { one: kind.one, path: kind.path, find: (db, id, who) => find(db, kind, id, who) };
}
