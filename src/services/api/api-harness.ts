/**
 * For tests: the compute API on a database in memory, with a few callers and with what is behind it (conductor, hosts,
 * images) replaced by answers that a test sets. Servers are put into any state by writing their rows.
 */
import type { FastifyInstance } from 'fastify';
import type { Database } from '#db/database.ts';
import { groupCommit } from '#db/group-commit.ts';
import type { NewNetwork } from '#db/repo/network/networks.ts';
import { createServerPort } from '#db/repo/network/server-ports.ts';
import { newNetwork, newSubnet } from '#db/repo/network/testing/networks.ts';
import { insertServers } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { serverRow } from '#db/testing/server-row.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import type { AuthContext } from '#http/auth.ts';
import { httpServer, mount } from '#http/server.ts';
import { authContext } from '#http/testing/auth-context.ts';
import { openLogs } from '#observe/log.ts';
import { type ApiDeps, DEFAULT_LIFECYCLE, DEFAULT_QUOTA, type Lifecycle, type Quota } from './api-deps.ts';
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
  /** What hosts were asked to fetch ahead: `host image`. */
  readonly fetched: readonly string[];
  /** Which migrations hosts were asked to bring to their end: `host server`. */
  readonly hurried: readonly string[];
  /** Networks of which hosts were told. */
  readonly changedNetworks: string[];
  /** What every host's console shows. */
  consoleText: string;
  /** Awaited before each transaction: `aTurn` as on a database that is not in this process, or something that comes in between. */
  beforeTransaction: () => Promise<unknown>;
  /** `path` is below `/compute/v2.1`. */
  call(who: Caller, method: string, path: string, asked?: Asked): Promise<Reply>;
  /** Writes a server of demo's project with these columns; answers its id. */
  add(columns?: Partial<ServerRow>): Promise<string>;
  /** Makes a network of demo's project with one subnet (10.0.0.0/24 where not said); answers its id. */
  addNetwork(name: string, cidr?: string, options?: Partial<NewNetwork>): Promise<string>;
  /** Joins a server of demo's to a network; answers the port's MAC. */
  join(serverId: string, networkId: string): Promise<string>;
}

/** Resolves a turn of the event loop later. */
export const aTurn = () => new Promise((resolve) => setImmediate(resolve));

const START = Date.UTC(2026, 0, 2, 3, 4, 5);

export async function apiHarness(quota: Partial<Quota> = {}, lifecycle: Partial<Lifecycle> = {}): Promise<ApiHarness> {
  const db = await openTestDatabase();
  await ensureDefaultFlavors(db, START);
  const log = openLogs({ level: 'silent', to: 'stderr' }).of('nova-api');
  const images = new Map<string, object>([[IMAGE, imageRecord({})]]);
  const harness = {
    clock: START,
    consoleText: '',
    beforeTransaction: async (): Promise<unknown> => undefined,
    fetched: [] as string[],
    hurried: [] as string[],
    changedNetworks: [] as string[],
  };
  const transaction: Database['transaction'] = async (work) => {
    await harness.beforeTransaction();
    return db.transaction(work);
  };
  const deps = {
    db: { ...db, transaction, commit: groupCommit(transaction) },
    // Stand-ins with the methods that the API calls.
    rpc: {
      client: (_contract: unknown, _name: string, host: string) => ({
        hurryMigration: async ({ serverId }: { serverId: string }) => {
          harness.hurried.push(`${host} ${serverId}`);
          return {};
        },
        fetchImage: async ({ imageId }: { imageId: string }) => {
          harness.fetched.push(`${host} ${imageId}`);
          return { cached: true };
        },
        consoleOutput: async () => ({ output: harness.consoleText }),
        injectNmi: async () => ({}),
      }),
    },
    conductor: { awaitStep: async () => ({}) },
    images: { find: async (id: string) => images.get(id) ?? null },
    quota: { ...DEFAULT_QUOTA, ...quota },
    lifecycle: { ...DEFAULT_LIFECYCLE, ...lifecycle },
    announce: () => {},
    networksChanged: (ids: readonly string[]) => harness.changedNetworks.push(...ids),
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
    addNetwork: async (name: string, cidr = '10.0.0.0/24', options: Partial<NewNetwork> = {}) => {
      const network = await newNetwork(db, { projectId: PROJECTS.demo, name, ...options });
      await newSubnet(db, network, cidr);
      return network.id;
    },
    join: async (serverId: string, networkId: string) => {
      const user = { serverId, projectId: PROJECTS.demo, isAdmin: false, dnsName: 'web' };
      return (await db.transaction((trx) => createServerPort(trx, user, { networkId }, harness.clock))).mac_address;
    },
    add: async (columns: Partial<ServerRow> = {}) => {
      const row = serverRow({
        project_id: PROJECTS.demo,
        user_id: 'user-demo',
        image_id: IMAGE,
        launched_at: START,
        created_at: harness.clock,
        updated_at: harness.clock,
        ...columns,
      });
      await insertServers(db.queries, [row]);
      return row.id;
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await db.close();
    },
  });
}

const MEMBER = ['member', 'reader'];
const CONTEXTS: Readonly<Record<string, AuthContext>> = {
  admin: authContext('admin', PROJECTS.admin, ['admin', ...MEMBER]),
  demo: authContext('demo', PROJECTS.demo, MEMBER),
  mate: authContext('mate', PROJECTS.demo, MEMBER),
  reader: authContext('reader', PROJECTS.demo, ['reader']),
  other: authContext('other', PROJECTS.other, MEMBER),
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
