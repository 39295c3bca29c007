/** Hypervisors: the compute hosts as machines, with what is used of them. Source: Nova's API reference, "Hypervisors". */
import { Type } from 'typebox';
import { loadByHost, NO_LOAD, serversByHost } from '#db/repo/host-servers.ts';
import { listHosts, NO_USAGE, usageByHost } from '#db/repo/hosts.ts';
import type { HostRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Route, route } from '#http/route.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean, LooseBoolean } from '../loose-types.ts';
import { lastOf, limitOf, markerNotFound, nextLink, PagingQuery, repeatable } from '../paging.ts';
import { checkId } from '../services/ids.ts';
import { hypervisorSummary, hypervisorView, idOf, type Occupation } from './view.ts';

const strict = { additionalProperties: false };
const loose = { additionalProperties: true };
const WithServers = { with_servers: Type.Optional(Type.Union([LooseBoolean, Type.Array(LooseBoolean)])) };
const known = {
  ...PagingQuery,
  ...WithServers,
  hypervisor_hostname_pattern: Type.Optional(repeatable(Type.String({ maxLength: 255 }))),
};
const LIST_QUERY = [
  { from: 33, schema: Type.Object(PagingQuery, loose) },
  { from: 53, schema: Type.Object(known, loose) },
  { from: 75, schema: Type.Object(known, strict) },
];
const SHOW_QUERY = [
  { from: 53, schema: Type.Object(WithServers, loose) },
  { from: 75, schema: Type.Object(WithServers, strict) },
];

type Query = Readonly<Record<keyof typeof known, string | string[] | undefined>>;

export const PATH = '/v2.1/os-hypervisors';
const RULE = 'os_compute_api:os-hypervisors';

export function hypervisorRoutes(deps: ApiDeps): Route[] {
  const { queries } = deps.db;
  const viewerOf = ({ version }: { readonly version: number }) => ({ version, now: deps.now() });

  /** Those of the page, or those with the pattern in their names; and the link to the next page. */
  const listed = async (request: { readonly version: number; readonly base: string }, query: Query, path: string) => {
    const { version } = request;
    const hosts = (await listHosts(queries)).toSorted((a, b) => a.number - b.number);
    const pattern = version >= 53 ? lastOf(query.hypervisor_hostname_pattern) : undefined;
    if (pattern !== undefined) {
      if (query.limit !== undefined || query.marker !== undefined)
        throw new CloudError('badRequest', {
          reason: 'Paging over hypervisors with the hypervisor_hostname_pattern query parameter is not supported.',
        });
      return { hosts: matching(hosts, pattern), links: {} };
    }
    if (version < 33) return { hosts, links: {} };
    const marker = lastOf(query.marker);
    const from = marker === undefined ? 0 : hosts.findIndex((host) => String(idOf(host, version)) === marker) + 1;
    if (marker !== undefined && from === 0) throw markerNotFound(marker);
    const limit = limitOf(query);
    const page = hosts.slice(from, from + limit);
    const last = page.at(-1);
    const url = `${request.base}${path}`;
    const isFull = page.length === limit && limit > 0;
    return {
      hosts: page,
      links: nextLink('hypervisors', isFull, url, query, last && String(idOf(last, version))),
    };
  };

  /** The servers of each host where they were asked for; until 2.74 not even the key of a host without any. */
  const serversShown = async (hosts: readonly HostRow[], query: Query, version: number) => {
    const isAsked = version >= 53 && asBoolean(lastOf(query.with_servers));
    const names = hosts.map(({ name }) => name);
    const servers = isAsked ? await serversByHost(queries, names) : new Map();
    return ({ name }: HostRow) => {
      const here = servers.get(name) ?? [];
      if (!isAsked || (here.length === 0 && version < 75)) return {};
      return { servers: here.map((each: { id: string; name: string }) => ({ uuid: each.id, name: each.name })) };
    };
  };

  return [
    route({
      method: 'GET',
      path: PATH,
      doc: 'Lists the hypervisors.',
      access: { rule: `${RULE}:list`, role: 'admin' },
      query: LIST_QUERY,
      success: 200,
      handle: async (request) => {
        // Every known parameter is text or a list of texts; the schema saw to it.
        const query = request.query as Query;
        const { hosts, links } = await listed(request, query, PATH);
        const servers = await serversShown(hosts, query, request.version);
        const viewer = viewerOf(request);
        return {
          body: {
            hypervisors: hosts.map((host) => ({ ...hypervisorSummary(host, viewer), ...servers(host) })),
            ...links,
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/detail`,
      doc: 'Lists the hypervisors with all that is known of them.',
      access: { rule: `${RULE}:list-detail`, role: 'admin' },
      query: LIST_QUERY,
      success: 200,
      handle: async (request) => {
        // As above.
        const query = request.query as Query;
        const { hosts, links } = await listed(request, query, `${PATH}/detail`);
        const servers = await serversShown(hosts, query, request.version);
        const occupied = await occupations(deps);
        const viewer = viewerOf(request);
        return {
          body: {
            hypervisors: hosts.map((host) => ({ ...hypervisorView(host, occupied(host), viewer), ...servers(host) })),
            ...links,
          },
        };
      },
    }),
    route({
      method: 'GET',
      path: `${PATH}/:id`,
      doc: 'Shows a hypervisor.',
      access: { rule: `${RULE}:show`, role: 'admin' },
      query: SHOW_QUERY,
      success: 200,
      handle: async (request) => {
        const host = await findHypervisor(deps, request.params.id ?? '', request.version);
        // As above.
        const servers = await serversShown([host], request.query as Query, request.version);
        const view = hypervisorView(host, (await occupations(deps))(host), viewerOf(request));
        return { body: { hypervisor: { ...view, ...servers(host) } } };
      },
    }),
  ];
}

/** Throws 404 where there is none, and 400 for what is no id. */
export async function findHypervisor({ db }: ApiDeps, id: string, version: number): Promise<HostRow> {
  checkId(id, version, 'hypervisor');
  const host = (await listHosts(db.queries)).find((row) => String(idOf(row, version)) === String(id));
  if (!host) throw new CloudError('notThere', { reason: `Hypervisor with ID '${id}' could not be found.` });
  return host;
}

/** Throws 404 where no name has it. */
export function matching(hosts: readonly HostRow[], pattern: string): HostRow[] {
  const found = hosts.filter(({ name }) => name.includes(pattern));
  if (found.length === 0)
    throw new CloudError('notThere', { reason: `No hypervisor matching '${pattern}' could be found.` });
  return found;
}

/** What is used of each host. */
export async function occupations({ db }: ApiDeps): Promise<(host: HostRow) => Occupation> {
  const [usage, load] = [await usageByHost(db.queries), await loadByHost(db.queries)];
  return ({ name }) => ({ usage: usage.get(name) ?? NO_USAGE, load: load.get(name) ?? NO_LOAD });
}
