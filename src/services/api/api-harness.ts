/**
 * For tests: the compute API on a database in memory, with a few callers and with what is behind it (conductor, hosts,
 * images) replaced by answers that a test sets. Servers are put into any state by writing their rows.
 */
import { randomUUID } from 'node:crypto';
import type { FastifyInstance } from 'fastify';
import type { Database } from '#db/database.ts';
import { groupCommit } from '#db/group-commit.ts';
import { insertServers } from '#db/repo/servers.ts';
import { openSqlite } from '#db/sqlite.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { AuthContext } from '#http/auth.ts';
import { httpServer, mount } from '#http/server.ts';
import { openLogs } from '#observe/log.ts';
import { type ApiDeps, DEFAULT_QUOTA, type Quota } from './api-deps.ts';
import { computeService } from './compute-service.ts';
import { ensureDefaultFlavors } from './default-flavors.ts';

/** Tokens are the callers' names. `mate` is another user of demo's project, `other` of another one. */
export const CALLERS = ['admin', 'demo', 'mate', 'reader', 'other', 'nobody'] as const;
export type Caller = (typeof CALLERS)[number];

/** Project ids look as Keystone's do, so that paths may name them. */
export const PROJECTS = {
  admin: 'a'.repeat(32),
  demo: 'd'.repeat(32),
  other: '0'.repeat(32),
} as const;

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  // biome-ignore lint/suspicious/noExplicitAny: a test reaches into answers whose shape is what it checks
  readonly body: any;
  readonly text: string;
}

export interface Asked {
  readonly body?: unknown;
  /** `2.53`; 2.1 where not given. */
  readonly version?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export const IMAGE = '11111111-1111-4111-8111-111111111111';

export interface ApiHarness extends AsyncDisposable {
  readonly server: FastifyInstance;
  readonly db: Database;
  /** Epoch ms; tests move it. */
  clock: number;
  /** What the image service answers, by id; `IMAGE` is a good one. */
  readonly images: Map<string, object>;
  /** What every host's console shows. */
  consoleText: string;
  /** True: transactions begin a turn of the event loop later, as on a database that is not in this process. */
  slowTransactions: boolean;
  /** `path` is below `/compute/v2.1`. */
  call(who: Caller, method: string, path: string, asked?: Asked): Promise<Reply>;
  /** Writes a server of demo's project with these columns; answers its id. */
  add(columns?: Partial<ServerRow>): Promise<string>;
}

const START = Date.UTC(2026, 0, 2, 3, 4, 5);

export async function apiHarness(quota: Partial<Quota> = {}): Promise<ApiHarness> {
  const db = await openSqlite(':memory:');
  await ensureDefaultFlavors(db, START);
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('nova-api');
  const images = new Map<string, object>([[IMAGE, imageRecord({})]]);
  const harness = { clock: START, consoleText: '', slowTransactions: false };
  const transaction: Database['transaction'] = async (work) => {
    if (harness.slowTransactions) await new Promise((resolve) => setImmediate(resolve));
    return db.transaction(work);
  };
  const deps = {
    db: { ...db, transaction, commit: groupCommit(transaction) },
    // Stand-ins with the methods that the API calls.
    rpc: { client: () => ({ consoleOutput: async () => ({ output: harness.consoleText }) }) },
    conductor: { awaitStep: async () => ({}) },
    images: { find: async (id: string) => images.get(id) ?? null },
    quota: { ...DEFAULT_QUOTA, ...quota },
    announce: () => {},
    now: () => harness.clock,
    log,
  } as unknown as ApiDeps;
  const options = { authenticate: (token: string) => CONTEXTS[token] ?? null, log };
  const server = httpServer(options);
  mount(server, computeService(deps), options);
  await server.ready();
  return Object.assign(harness, {
    server,
    db,
    images,
    call: async (who: Caller, method: string, path: string, asked: Asked = {}) => {
      const response = await server.inject({
        method: method as 'GET',
        url: `/compute/v2.1${path}`,
        headers: {
          host: 'cloud.example',
          ...(who !== 'nobody' && { 'x-auth-token': who }),
          ...(asked.version && { 'openstack-api-version': `compute ${asked.version}` }),
          ...(asked.body !== undefined && { 'content-type': 'application/json' }),
          ...asked.headers,
        },
        ...(asked.body !== undefined && {
          payload: typeof asked.body === 'string' ? asked.body : JSON.stringify(asked.body),
        }),
      });
      const text = response.body;
      const body = text.startsWith('{') ? JSON.parse(text) : undefined;
      return { status: response.statusCode, headers: response.headers, body, text };
    },
    add: async (columns: Partial<ServerRow> = {}) => {
      const row = serverRow({ created_at: harness.clock, updated_at: harness.clock, ...columns });
      await insertServers(db.queries, [row]);
      return row.id;
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await db.close();
    },
  });
}

const context = (userName: string, projectId: string, roles: string[]): AuthContext => ({
  userId: `user-${userName}`,
  userName,
  userDomainId: 'default',
  projectId,
  projectName: projectId,
  roles,
  isAdmin: roles.includes('admin'),
  expiresAt: Number.MAX_SAFE_INTEGER,
});

const MEMBER = ['member', 'reader'];
const CONTEXTS: Readonly<Record<string, AuthContext>> = {
  admin: context('admin', PROJECTS.admin, ['admin', ...MEMBER]),
  demo: context('demo', PROJECTS.demo, MEMBER),
  mate: context('mate', PROJECTS.demo, MEMBER),
  reader: context('reader', PROJECTS.demo, ['reader']),
  other: context('other', PROJECTS.other, MEMBER),
};

/** An active image of 1 MiB. */
export function imageRecord(fields: Readonly<Record<string, unknown>>): object {
  return {
    id: IMAGE,
    name: 'tiny',
    status: 'active',
    size: 2 ** 20,
    virtual_size: 2 ** 20,
    disk_format: 'qcow2',
    min_disk: 0,
    min_ram: 0,
    os_hash_value: null,
    ...fields,
  };
}

/** A running server of demo's. */
function serverRow(columns: Partial<ServerRow>): ServerRow {
  const id = columns.id ?? randomUUID();
  return {
    id,
    project_id: PROJECTS.demo,
    user_id: 'user-demo',
    name: 'web',
    hostname: 'web',
    description: null,
    image_id: IMAGE,
    flavor: JSON.stringify({
      id: '42',
      name: 'm1.nano',
      vcpus: 1,
      memoryMib: 128,
      diskGib: 1,
      ephemeralGib: 0,
      swapMib: 0,
      extraSpecs: {},
    }),
    key_name: null,
    public_key: null,
    user_data: null,
    metadata: '{}',
    tags: '[]',
    config_drive: 1,
    nics: JSON.stringify([{ mac: 'fa:16:3e:00:00:01' }]),
    availability_zone: 'nova',
    host: 'host-1',
    reservation_id: 'r-12345678',
    launch_index: 0,
    vm_state: 'active',
    task_state: null,
    power_state: 1,
    progress: 0,
    fault: null,
    locked: 0,
    locked_reason: null,
    access_ip_v4: '',
    access_ip_v6: '',
    disk_config: 'MANUAL',
    operation_id: null,
    launched_at: START,
    terminated_at: null,
    created_at: START,
    updated_at: START,
    deleted_at: null,
    version: 1,
    ...columns,
  };
}
