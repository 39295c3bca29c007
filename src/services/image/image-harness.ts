/** For tests: the image role on a database in memory and a store in a temporary folder, with a few callers. */
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import type { Database } from '#db/database.ts';
import { openTestDatabase } from '#db/testing/test-database.ts';
import type { AuthContext } from '#http/auth.ts';
import { httpServer, mount } from '#http/server.ts';
import { authContext } from '#http/testing/auth-context.ts';
import type { ImageLimits } from './deps.ts';
import { imageService, recoverImages } from './image-service.ts';
import { directoryStore } from './store/directory-store.ts';
import type { ImageStore } from './store/image-store.ts';

export type Token = 'admin' | 'demo' | 'other' | 'third' | 'reader' | 'service';

const CALLERS: Readonly<Record<Token, AuthContext>> = {
  admin: authContext('admin', 'project-admin', ['admin', 'member', 'reader']),
  demo: authContext('demo', 'project-demo', ['member', 'reader']),
  other: authContext('other', 'project-other', ['member', 'reader']),
  third: authContext('third', 'project-third', ['member', 'reader']),
  reader: authContext('reader', 'project-demo', ['reader']),
  service: authContext('nova', 'project-service', ['service']),
};

export interface Reply {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly body: Buffer;
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers freely
  readonly json: any;
}

export interface ImageHarness extends AsyncDisposable {
  readonly server: FastifyInstance;
  readonly database: Database;
  readonly store: ImageStore;
  readonly dir: string;
  /** Epoch ms; tests move it. */
  clock: number;
  call(token: Token, method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Reply>;
  /** A record with sensible formats; answers its id. */
  create(token: Token, record?: Record<string, unknown>): Promise<string>;
  /** PUT of the data. */
  put(token: Token, id: string, data: Buffer): Promise<Reply>;
  /** Listens and answers the base URL. */
  listen(): Promise<string>;
  /** Names in the store's folder. */
  stored(): Promise<string[]>;
  storedBytes(id: string): Promise<Buffer>;
  recover(): Promise<void>;
}

export async function imageHarness(limits: Partial<ImageLimits> = {}): Promise<ImageHarness> {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-image-'));
  const database = await openTestDatabase();
  const store = directoryStore(dir);
  const log = pino({ level: 'silent' });
  const options = { log, authenticate: (token: string) => CALLERS[token as Token] ?? null };
  const server = httpServer(options);
  const { maxImageBytes = 2 ** 40, ...others } = limits;
  const deps = { database, store, log, limits: others, maxImageBytes, clock: () => harness.clock };
  await recoverImages(deps);
  mount(server, imageService(deps), options);

  const harness: ImageHarness = {
    server,
    database,
    store,
    dir,
    clock: Date.parse('2026-01-31T12:00:00Z'),
    async call(token, method, path, body, headers = {}) {
      const reply = await server.inject({
        method: method as 'GET',
        url: `/image${path}`,
        headers: {
          'x-auth-token': token,
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body !== undefined && { payload: Buffer.isBuffer(body) ? body : JSON.stringify(body) }),
      });
      const isJson = String(reply.headers['content-type'] ?? '').startsWith('application/json');
      return {
        status: reply.statusCode,
        headers: reply.headers,
        body: reply.rawPayload,
        json: isJson ? JSON.parse(reply.payload) : undefined,
      };
    },
    async create(token, record = {}) {
      const reply = await harness.call(token, 'POST', '/v2/images', {
        name: 'image',
        disk_format: 'raw',
        container_format: 'bare',
        ...record,
      });
      if (reply.status !== 201) throw new Error(`create: ${reply.status} ${reply.body}`);
      return reply.json.id as string;
    },
    put: (token, id, data) =>
      harness.call(token, 'PUT', `/v2/images/${id}/file`, data, { 'content-type': 'application/octet-stream' }),
    async listen() {
      await server.listen({ port: 0, host: '127.0.0.1' });
      return `http://127.0.0.1:${(server.server.address() as AddressInfo).port}/image`;
    },
    stored: async () => (await readdir(dir)).filter((name) => name !== 'staging').toSorted(),
    storedBytes: (id) => readFile(join(dir, id)),
    recover: () => recoverImages(deps),
    async [Symbol.asyncDispose]() {
      await server.close();
      await store.close();
      await database.close();
      await rm(dir, { recursive: true });
    },
  };
  return harness;
}
