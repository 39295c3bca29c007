/** The query of a server list: filters, sorting, paging; and what each may be asked by whom. */
import { createContext, Script } from 'node:vm';
import { type Static, Type } from 'typebox';
import type { Queries } from '#db/database.ts';
import { findServerEver, type ServerFilter, type ServerPage, type ServerSortKey } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type StatesOfStatus, statesOf, VM_STATES } from '#domain/instance/states.ts';
import type { AuthContext } from '#http/auth.ts';
import { askedTime } from '../asked-time.ts';
import { asBoolean } from '../loose-types.ts';
import { lastOf, limitOf, markerNotFound, PagingQuery, repeatable } from '../paging.ts';

const Text = Type.Optional(repeatable(Type.String({ maxLength: 255 })));

/** Tags, with commas between them: as many as a server may have, each as long as one may be. */
const Tags = Type.Optional(repeatable(Type.String({ maxLength: 50 * 61 })));

const known = {
  ...PagingQuery,
  ...Object.fromEntries(
    [
      'name',
      'status',
      'vm_state',
      'image',
      'flavor',
      'host',
      'all_tenants',
      'tenant_id',
      'project_id',
      'user_id',
      'deleted',
      'sort_key',
      'sort_dir',
      'changes-since',
      'changes-before',
      'reservation_id',
      'uuid',
      'availability_zone',
      'key_name',
      'locked',
      'ip',
      'ip6',
      'access_ip_v4',
      'access_ip_v6',
      'config_drive',
      'created_at',
      'description',
      'display_description',
      'display_name',
      'hostname',
      'image_ref',
      'instance_type_id',
      'kernel_id',
      'launch_index',
      'launched_at',
      'locked_by',
      'node',
      'power_state',
      'progress',
      'ramdisk_id',
      'root_device_name',
      'task_state',
      'terminated_at',
      'updated_at',
      'block_device_mapping',
      'services',
      'metadata',
      'system_metadata',
      'info_cache',
      'security_groups',
      'pci_devices',
      'minDisk',
      'minRam',
    ].map((name) => [name, Text]),
  ),
  ...Object.fromEntries(['tags', 'tags-any', 'not-tags', 'not-tags-any'].map((name) => [name, Tags])),
};

/** Until 2.74 unknown parameters are ignored; from 2.75 on they are an error, but for private ones that begin with `_`. */
export const LIST_QUERY = [
  { from: 1, schema: Type.Object(known, { additionalProperties: true }) },
  { from: 75, schema: Type.Object(known, { additionalProperties: false, patternProperties: { '^_': {} } }) },
];

type Query = Readonly<Record<string, string | string[] | undefined>>;
export type ListQuery = Static<(typeof LIST_QUERY)[number]['schema']>;

const SORT_COLUMNS: Readonly<Record<string, ServerSortKey>> = {
  created_at: 'created_at',
  updated_at: 'updated_at',
  display_name: 'name',
  name: 'name',
  uuid: 'id',
  vm_state: 'vm_state',
  host: 'host',
  launched_at: 'launched_at',
  hostname: 'hostname',
};

/** What is asked for, with the caller's limits applied: a plain user sees the own project, whatever the query says. */
export function filterOf(
  query: Query,
  auth: AuthContext & { readonly projectId: string },
  version: number,
): ServerFilter {
  const { isAdmin } = auth;
  const allTenants = isAll(lastOf(query.all_tenants));
  if (allTenants && !isAdmin)
    throw new CloudError('policyForbids', { rule: 'os_compute_api:servers:index:get_all_tenants' });
  const otherProject = lastOf(query.project_id) ?? lastOf(query.tenant_id);
  const name = lastOf(query.name) ?? lastOf(query.display_name);
  const states = askedStates(query);
  const text = (key: string) => lastOf(query[key]);
  const locked = version >= 73 ? text('locked') : undefined;
  return {
    projectId: allTenants ? (otherProject ?? null) : auth.projectId,
    deleted: isAdmin && asBoolean(text('deleted')),
    equals: {
      ...present('image_id', text('image')),
      ...present('reservation_id', text('reservation_id')),
      ...present('key_name', isAdmin || version >= 83 ? text('key_name') : undefined),
      ...present('host', isAdmin ? (text('host') ?? text('node')) : undefined),
      ...present('user_id', isAdmin || version >= 83 ? text('user_id') : undefined),
      ...present('locked', locked === undefined ? undefined : asBoolean(locked) ? 1 : 0),
    },
    ...present('states', states),
    ...present('name', name === undefined ? undefined : matcherOf(name)),
    ...present('flavorId', text('flavor')),
    ...present('ids', text('uuid') === undefined ? undefined : [text('uuid') ?? '']),
    ...present('changedSince', askedTime('changes-since', text('changes-since'))),
    ...present('changedBefore', version >= 66 ? askedTime('changes-before', text('changes-before')) : undefined),
    ...present('availabilityZone', isAdmin || version >= 83 ? text('availability_zone') : undefined),
    ...(version >= 26 && {
      tags: {
        all: tagsIn(text('tags')),
        any: tagsIn(text('tags-any')),
        notAll: tagsIn(text('not-tags')),
        notAny: tagsIn(text('not-tags-any')),
      },
    }),
  };
}

export async function pageOf(
  db: Queries,
  query: Query,
  auth: AuthContext & { readonly projectId: string },
): Promise<ServerPage> {
  const keys = [query.sort_key ?? []].flat();
  const dirs = [query.sort_dir ?? []].flat();
  const sort = keys.map((key, index) => {
    const column = Object.hasOwn(SORT_COLUMNS, key) ? SORT_COLUMNS[key] : undefined;
    const dir = dirs[index] ?? dirs[0] ?? 'desc';
    if (!column) throw new CloudError('badRequest', { reason: `Sort key supplied is not valid: ${key}` });
    if (dir !== 'asc' && dir !== 'desc')
      throw new CloudError('badRequest', { reason: `Unknown sort direction, must be one of: asc, desc` });
    return { key: column, dir } as const;
  });
  const marker = lastOf(query.marker);
  let after: ServerRow | undefined;
  if (marker !== undefined) {
    after = await findServerEver(db, marker, auth.isAdmin ? null : auth.projectId);
    if (!after) throw markerNotFound(marker);
  }
  return {
    sort: sort.length > 0 ? sort : [{ key: 'created_at', dir: 'desc' }],
    limit: limitOf(query),
    ...(after && { after }),
  };
}

function present<Key extends string, Value>(key: Key, value: Value | undefined): { [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value });
}

/** `all_tenants` alone, or with anything that is not a no. */
function isAll(text: string | undefined): boolean {
  return text !== undefined && (text === '' || asBoolean(text));
}

function tagsIn(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',').filter((tag) => tag !== '');
}

function askedStates(query: Query): readonly StatesOfStatus[] | undefined {
  const statuses = [query.status ?? []].flat();
  if (statuses.length > 0) return statuses.flatMap((status) => statesOf(status));
  const asked = [query.vm_state ?? []].flat();
  const known = VM_STATES.filter((state) => asked.includes(state));
  return asked.length > 0 ? known.map((vmState) => ({ vmState, tasks: { but: [] } })) : undefined;
}

const MATCH_LIMIT_MS = 15;
const NO_OPERATORS = /^[^\\^$.|?*+()[\]{}]*$/;
const sandbox = createContext(Object.create(null));
const match = new Script('names.map((name) => expression.test(name))');

/**
 * Matches names against a client's regular expression. A hostile expression can take for ever, so it runs under a
 * time limit; past it the request is refused.
 */
function matcherOf(pattern: string): (names: readonly string[]) => readonly boolean[] {
  if (NO_OPERATORS.test(pattern)) return (names) => names.map((name) => name.includes(pattern));
  let expression: RegExp;
  try {
    expression = new RegExp(pattern);
  } catch {
    throw new CloudError('badRequest', {
      reason: `Invalid filter field: name. '${pattern}' is not a regular expression.`,
    });
  }
  return (names) => {
    for (;;) {
      const begun = process.threadCpuUsage();
      try {
        return match.runInContext(Object.assign(sandbox, { names, expression }), {
          timeout: MATCH_LIMIT_MS,
        }) as boolean[];
      } catch (error) {
        const { user, system } = process.threadCpuUsage(begun);
        const isLate = (error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT';
        // Node's limit is by the clock; a busy machine may have let this thread wait all that time.
        if (isLate && user + system < (MATCH_LIMIT_MS / 2) * 1000) continue;
        throw new CloudError('badRequest', {
          reason: `The name filter '${pattern.slice(0, 60)}' takes too long; use a simpler one.`,
        });
      }
    }
  };
}
