/**
 * A whole cloud per test: its own folder, a free port, the fake driver or real QEMU, and sentences to say what is
 * wanted: `await cloud.server().active()`.
 *
 * Disposing of it closes everything and fails the test when a server leaks in the record, or a file, process or timer
 * outlives the cloud.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { loadConfig } from '#config/config.ts';
import type { Database } from '#db/database.ts';
import type { OperationRow } from '#db/tables/journal.ts';
import { IS_POSTGRES, type TakenDatabase, takeDatabase } from '#db/testing/test-database.ts';
import { type FakeDriver, fakeDriver } from '#services/compute/driver/fake/fake-driver.ts';
import { writeEmptyQcow2 } from '#services/compute/driver/qcow2.ts';
import { type Cloud, type Overrides, startCloud } from '../src/main.ts';
import { Client, type User } from './client.ts';
import { eventually } from './eventually.ts';
import { lastingLeaks, SHARED_DISKS } from './leaks.ts';
import { privateNetwork } from './networks.ts';
import { planeTraces } from './plane-leaks.ts';
import { TestServer } from './server.ts';

export interface TestCloudOptions {
  readonly driver: 'fake' | 'qemu';
  readonly hosts?: number;
  readonly overrides?: Omit<Overrides, 'driver'>;
  /** Its data in memory: a test of what is done, many times over, need not wait for a disk. */
  readonly inMemory?: boolean;
  /** The disks of its guests lie in a folder that all its hosts see. */
  readonly sharedDisks?: boolean;
  /** More settings, by their names in the configuration. */
  readonly config?: Readonly<Record<string, string | number>>;
}

export interface ServerWish {
  readonly name?: string;
  /** Registered when not given. */
  readonly image?: string;
  /** Id; 128 MiB by default. */
  readonly flavor?: string;
  readonly as?: User;
}

export interface WantedServer {
  /** Resolves when the request was accepted. */
  accepted(): Promise<TestServer>;
  /** Resolves when the server is ACTIVE. */
  active(): Promise<TestServer>;
}

/** A file system in memory, where the machine has one. */
const MEMORY = '/dev/shm';

/** Starts a cloud that a test has for itself. */
export async function testCloud(options: TestCloudOptions): Promise<TestCloud> {
  const folder = options.inMemory && existsSync(MEMORY) ? MEMORY : tmpdir();
  const data = await mkdtemp(join(folder, 'micronova-test-'));
  const cloud = new TestCloud(data, options, IS_POSTGRES ? await takeDatabase() : null);
  await cloud.start();
  return cloud;
}

export class TestCloud implements AsyncDisposable {
  readonly data: string;
  readonly #options: TestCloudOptions;
  /** Null: SQLite in its folder. */
  readonly #database: TakenDatabase | null;
  readonly #clients = new Map<User, Client>();
  readonly #before = aliveResources();
  /** The fake drivers, by host. */
  readonly drivers = new Map<string, FakeDriver>();
  #cloud: Cloud | undefined;
  #image: Promise<string> | undefined;
  /** The network of demo. */
  #private: Promise<string> | undefined;

  /** Use `testCloud`. */
  constructor(data: string, options: TestCloudOptions, database: TakenDatabase | null) {
    this.data = data;
    this.#options = options;
    this.#database = database;
  }

  /** Where the disks are with that option, a folder per server. */
  get sharedDisks(): string {
    return join(this.data, SHARED_DISKS);
  }

  get url(): string {
    return this.#running.url;
  }

  get db(): Database {
    return this.#running.db;
  }

  get #running(): Cloud {
    if (!this.#cloud) throw new Error('the cloud does not run');
    return this.#cloud;
  }

  /** The fake driver of the only host. */
  get driver(): FakeDriver {
    if (this.drivers.size > 1) throw new Error('the cloud has several hosts');
    return this.anyDriver;
  }

  /** The fake driver of the first host. */
  get anyDriver(): FakeDriver {
    const [driver] = this.drivers.values();
    if (!driver) throw new Error('the cloud has no fake driver');
    return driver;
  }

  async start(): Promise<void> {
    const { driver, hosts, overrides, config, sharedDisks = false } = this.#options;
    this.drivers.clear();
    if (sharedDisks) await mkdir(this.sharedDisks, { recursive: true });
    this.#cloud = await startCloud(
      loadConfig({
        flags: {
          data: this.data,
          database: this.#database?.url ?? '',
          listen: '127.0.0.1:0',
          driver,
          log_level: process.env.MICRONOVA_TEST_LOG ?? 'silent',
          log_to: 'stderr',
          public_cidr: PUBLIC_RANGE,
          quota_instances: -1,
          quota_cores: -1,
          quota_ram_mib: -1,
          ...(hosts !== undefined && { hosts }),
          ...(sharedDisks && { disks_dir: this.sharedDisks }),
          ...config,
        },
      }),
      // What a test left in hand may wait for what the test has stopped.
      { farewellMs: 0, ...overrides, ...(driver === 'fake' && { driver: (made) => this.#fakeDriver(made) }) },
    );
  }

  /** Ends the process's part of the cloud; guests run on. */
  async stop(): Promise<void> {
    await this.#running.close({ stopGuests: false });
  }

  /** Ends it and begins it anew on the same data. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** A client logged in as that user. */
  async as(user: User): Promise<Client> {
    const known = this.#clients.get(user);
    if (known) return known.at(this.url);
    const client = await Client.login(this.url, this.data, user);
    this.#clients.set(user, client);
    return client;
  }

  /** A small valid image of the demo user, registered once; answers its id. */
  image(): Promise<string> {
    this.#image ??= this.registerImage();
    return this.#image;
  }

  /** An image of the demo user with these bytes, or with an empty disk of 1 MiB. */
  async registerImage(bytes?: Uint8Array, properties: Readonly<Record<string, string>> = {}): Promise<string> {
    const client = await this.as('demo');
    const wanted = { name: 'tiny', disk_format: 'qcow2', container_format: 'bare', ...properties };
    const { id } = await client.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
    await client.ok('PUT', `/image/v2/images/${id}/file`, { bytes: bytes ?? (await emptyDisk(this.data)) });
    return id;
  }

  server(wish: ServerWish = {}): WantedServer {
    const accepted = async () => {
      const user = wish.as ?? 'demo';
      const client = await this.as(user);
      // A test may have made more of them.
      if (user === 'demo') this.#private ??= privateNetwork(client);
      const server = {
        name: wish.name ?? 'tester',
        imageRef: wish.image ?? (await this.image()),
        flavorRef: wish.flavor ?? '42',
        networks: user === 'demo' ? [{ uuid: await this.#private }] : 'auto',
      };
      const answer = await client.request<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
        json: { server },
      });
      if (answer.status !== 202) throw new Error(`launch: ${answer.status} ${JSON.stringify(answer.body)}`);
      return new TestServer(this, wish.as ?? 'demo', answer.body.server.id, answer.requestId);
    };
    return {
      accepted,
      active: async () => {
        const server = await accepted();
        await server.is('ACTIVE');
        return server;
      },
    };
  }

  /** Polls until `probe` answers. */
  waitFor<Result>(what: string, probe: () => Promise<Result | undefined | null | false>): Promise<Result> {
    return eventually(what, probe);
  }

  /** The operation that a request began, once it has ended or needs attention. */
  rested(requestId: string): Promise<OperationRow> {
    const find = () =>
      this.db.queries.selectFrom('operations').selectAll().where('request_id', '=', requestId).executeTakeFirst();
    return eventually(
      `the end of what ${requestId} asked for`,
      async () => {
        const row = await find();
        return row && (row.finished_at !== null || row.state === 'needs_attention') ? row : null;
      },
      { state: find },
    );
  }

  leaks(): Promise<string[]> {
    return lastingLeaks(this.db, this.data);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const found = await this.leaks();
    const { driver } = this.#options;
    await this.#running.close({ stopGuests: true });
    if (driver === 'qemu' && guestProcesses(this.data).length > 0) found.push('a QEMU process runs on');
    if (driver === 'qemu') found.push(...(await planeTraces(this.data)));
    await eventually('no open files', async () => openFiles(this.data).length === 0).catch(() =>
      found.push(`open files: ${openFiles(this.data)}`),
    );
    await eventually('no timers', async () => surplus(this.#before).length === 0).catch(() =>
      found.push(`still alive: ${surplus(this.#before)}`),
    );
    await rm(this.data, { recursive: true, force: true });
    await this.#database?.giveBack();
    if (found.length > 0) throw new Error(`the cloud leaks:\n${found.join('\n')}`);
  }

  #fakeDriver({ host, instancesDir }: { readonly host: string; readonly instancesDir: string }): FakeDriver {
    const driver = fakeDriver({ instancesDir });
    this.drivers.set(host, driver);
    return driver;
  }
}

/** Of this process alone: floating IPs of clouds on one machine must not meet. Source: RFC 2544. */
const PUBLIC_RANGE = `198.${18 + ((process.pid >> 8) % 2)}.${process.pid % 256}.0/24`;

/** A valid qcow2 of 1 MiB with nothing in it. */
export async function emptyDisk(dir: string): Promise<Buffer> {
  const path = join(dir, 'empty.qcow2');
  await writeEmptyQcow2(path, 2 ** 20, null);
  const bytes = await readFile(path);
  await rm(path);
  return bytes;
}

/** Pids of the QEMU processes whose guests are below `data`. */
export function guestProcesses(data: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      try {
        const isQemu = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')[0]?.includes('qemu-system') ?? false;
        return isQemu && readlinkSync(`/proc/${pid}/cwd`).startsWith(data);
      } catch {
        // It ended, or is not a process at all.
        return false;
      }
    });
}

/** What this process has open below `data`. */
function openFiles(data: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${fd}`);
      return path.startsWith(data) ? [path] : [];
    } catch {
      // Closed meanwhile.
      return [];
    }
  });
}

const LASTING = ['Timeout', 'TCPServerWrap', 'PipeWrap', 'ProcessWrap', 'ChildProcess'];

/** How many of each kind keep this process alive; file operations in flight come and go and are not counted. */
function aliveResources(): Map<string, number> {
  const kinds = process.getActiveResourcesInfo().filter((kind) => LASTING.includes(kind));
  return new Map([...Map.groupBy(kinds, (kind) => kind)].map(([kind, all]) => [kind, all.length]));
}

/** Kinds of which there are more than before. */
function surplus(before: ReadonlyMap<string, number>): string[] {
  // The poll that asks has one timer of its own, but only while it waits.
  return [...aliveResources()].filter(([kind, count]) => count > (before.get(kind) ?? 0)).map(([kind]) => kind);
}
