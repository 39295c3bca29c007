/** Agents and availability zones: each compute host runs its networks itself, so its agent is the host's. */
import { isUp, listHosts } from '#db/repo/hosts.ts';
import type { HostRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import { mayRead } from './access.ts';
import type { NetworkDeps } from './deps.ts';
import type { View } from './resource/collection.ts';
import { LIST_QUERY, type RawQuery, valuesOf } from './resource/list-query.ts';

const AGENT_TYPE = 'Micronova host agent';

export function agentRoutes({ db, now }: NetworkDeps): readonly Route[] {
  const ADMIN = { rule: 'get_agent', role: 'admin' } as const;
  return [
    route({
      method: 'GET',
      path: '/v2.0/agents',
      doc: 'Who runs the networks on each host.',
      access: ADMIN,
      query: LIST_QUERY,
      success: 200,
      async handle(request) {
        const agents = (await listHosts(db.queries)).map((host) => agentView(host, now()));
        return { body: { agents: filtered(agents, request.query as RawQuery) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.0/agents/:id',
      doc: 'One of them.',
      access: ADMIN,
      success: 200,
      async handle(request) {
        const id = request.params.id ?? '';
        const host = (await listHosts(db.queries)).find((each) => each.id === id);
        if (!host) throw new CloudError('notFound', { what: 'Agent', id });
        return { body: { agent: agentView(host, now()) } };
      },
    }),
    route({
      method: 'GET',
      path: '/v2.0/availability_zones',
      doc: 'There is one, for networks and for routers.',
      access: mayRead('get_availability_zone'),
      query: LIST_QUERY,
      success: 200,
      handle(request) {
        const zones = ['network', 'router'].map((resource) => ({ name: 'nova', resource, state: 'available' }));
        return { body: { availability_zones: filtered(zones, request.query as RawQuery) } };
      },
    }),
  ];
}

function agentView(host: HostRow, now: number): View {
  return {
    id: host.id,
    agent_type: AGENT_TYPE,
    binary: 'nova-compute',
    host: host.name,
    topic: 'N/A',
    availability_zone: host.availability_zone,
    admin_state_up: host.enabled === 1,
    alive: isUp(host, now),
    description: '',
    configurations: {},
    created_at: spaced(host.created_at),
    started_at: spaced(host.booted_at ?? host.created_at),
    heartbeat_timestamp: spaced(host.seen_at),
    resources_synced: null,
  };
}

/** By any key; repeated: any of the values. */
function filtered(views: readonly View[], query: RawQuery): View[] {
  const filters = Object.entries(query).filter(([name]) => !Object.hasOwn(LIST_QUERY.properties, name));
  return views.filter((view) =>
    filters.every(([name, values]) =>
      valuesOf(values).some((value) => String(view[name]).toLowerCase() === value.toLowerCase()),
    ),
  );
}

/** `2026-01-31 12:00:00`: agents have always written it so. */
function spaced(epochMs: number): string {
  return new Date(epochMs).toISOString().slice(0, 19).replace('T', ' ');
}
