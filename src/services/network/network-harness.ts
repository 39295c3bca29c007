/** For tests: the network role on an empty database, with a few callers. */
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import type { Database } from '#db/database.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import type { AuthContext } from '#http/auth.ts';
import { httpServer, mount } from '#http/server.ts';
import { authContext } from '#http/testing/auth-context.ts';
import { networkService } from './network-service.ts';

export type Token = 'admin' | 'demo' | 'other' | 'reader';

export const PROJECTS = { admin: 'project-admin', demo: 'project-demo', other: 'project-other' } as const;

const CALLERS: Readonly<Record<Token, AuthContext>> = {
  admin: authContext('admin', PROJECTS.admin, ['admin', 'member', 'reader']),
  demo: authContext('demo', PROJECTS.demo, ['member', 'reader']),
  other: authContext('other', PROJECTS.other, ['member', 'reader']),
  reader: authContext('reader', PROJECTS.demo, ['reader']),
};

export interface Reply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly json: any;
  /** Neutron's type of error; empty for a success. */
  readonly error: string;
}

export interface NetworkHarness extends AsyncDisposable {
  readonly server: FastifyInstance;
  readonly database: Database;
  /** Epoch ms; moves on with every request. */
  clock: number;
  /** What hosts were told of, in order. */
  readonly changed: string[];
  /** Below `/network/v2.0`. */
  call(token: Token, method: string, path: string, body?: unknown): Promise<Reply>;
  /** Makes one thing, which must succeed; answers it. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  make(token: Token, kind: Kind, wanted?: Record<string, unknown>): Promise<any>;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  show(token: Token, kind: Kind, id: string): Promise<any>;
}

const PATHS = {
  network: 'networks',
  subnet: 'subnets',
  port: 'ports',
  router: 'routers',
  floatingip: 'floatingips',
  security_group: 'security-groups',
  security_group_rule: 'security-group-rules',
} as const;

export type Kind = keyof typeof PATHS;

export async function networkHarness(): Promise<NetworkHarness> {
  const database = await openTestDatabase();
  const log = pino({ level: 'silent' });
  const options = { log, authenticate: (token: string) => CALLERS[token as Token] ?? null };
  const server = httpServer(options);
  const changed: string[] = [];
  const harness: NetworkHarness = {
    server,
    database,
    changed,
    clock: Date.parse('2026-01-31T12:00:00Z'),
    async call(token, method, path, body) {
      harness.clock += 1000;
      const reply = await server.inject({
        method: method as 'GET',
        url: `/network/v2.0${path}`,
        headers: { 'x-auth-token': token, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { payload: JSON.stringify(body) }),
      });
      const json = reply.payload.startsWith('{') ? JSON.parse(reply.payload) : undefined;
      return { status: reply.statusCode, json, error: json?.NeutronError?.type ?? '' };
    },
    async make(token, kind, wanted = {}) {
      const reply = await harness.call(token, 'POST', `/${PATHS[kind]}`, { [kind]: wanted });
      if (reply.status !== 201) throw new Error(`${kind}: ${reply.status} ${JSON.stringify(reply.json)}`);
      return reply.json[kind];
    },
    async show(token, kind, id) {
      const reply = await harness.call(token, 'GET', `/${PATHS[kind]}/${id}`);
      if (reply.status !== 200) throw new Error(`${kind} ${id}: ${reply.status} ${JSON.stringify(reply.json)}`);
      return reply.json[kind];
    },
    async [Symbol.asyncDispose]() {
      await server.close();
      await database.close();
    },
  };
  mount(
    server,
    networkService({ db: database, log, now: () => harness.clock, changed: (ids) => changed.push(...ids) }),
    options,
  );
  return harness;
}
