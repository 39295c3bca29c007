/**
 * A cloud of many processes on this machine, as `micronova serve` makes it: a PostgreSQL and a RabbitMQ of its own, and as many
 * processes of each role as a test wants. What each keeps lies where a cloud in one process has it, so that the same eye
 * sees leaks.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Database } from '#db/database.ts';
import { openPostgres } from '#db/postgres.ts';
import { PostgresCluster } from '#local/postgres.ts';
import { Broker } from '#local/rabbitmq.ts';
import { Client, type User } from '../client.ts';
import { lastingLeaks } from '../leaks.ts';
import { TestServer } from '../server.ts';

const DOUBLING = new URL('doubling-member.ts', import.meta.url).pathname;
const MICRONOVA = new URL('../../bin/micronova', import.meta.url).pathname;

export type Settings = Readonly<Record<string, string | number>>;

/** One process of the cloud; it can be killed and started again as the same. */
export class Member {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #env: NodeJS.ProcessEnv;
  #child: ChildProcess | undefined;
  #said = '';
  #ready = '';
  #health = '';

  constructor(name: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#args = args;
    this.#env = env;
  }

  /** Resolves with what it says when it is ready: its address, or its roles. */
  async start(): Promise<string> {
    const [program = '', ...args] = this.#args;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: this.#env });
    this.#child = child;
    child.stderr.on('data', (text: Buffer) => {
      this.#said += text;
    });
    const lines = createInterface(child.stdout);
    const ready = Promise.withResolvers<string>();
    lines.on('line', (line) => {
      const [, what, health = ''] = /^ready (\S+)(?:.* health=(\S+))?/.exec(line) ?? [];
      if (!what) return;
      this.#ready = what;
      this.#health = health;
      ready.resolve(what);
    });
    child.once('exit', (code, signal) =>
      ready.reject(new Error(`${this.name} ended (${code ?? signal}):\n${this.#said}`)),
    );
    return ready.promise;
  }

  /** What it said last when it was ready. */
  get ready(): string {
    return this.#ready;
  }

  /** Where `/readyz` and `/metrics` are, if it was told to have them. */
  get health(): string {
    return this.#health;
  }

  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async kill(signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
    if (!this.#child || !this.isAlive) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill(signal);
    await exited;
  }

  /** Stops it where it is, and lets it go on: a host that is cut off and comes back. */
  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child?.kill(signal);
  }
}

export class CloudOfProcesses implements AsyncDisposable {
  readonly dir: string;
  readonly database: PostgresCluster;
  readonly broker: Broker;
  readonly members = new Map<string, Member>();
  readonly #urls = { database: '', bus: '' };
  #url = '';
  #db: Database | undefined;
  readonly #clients = new Map<User, Client>();

  private constructor(dir: string, database: PostgresCluster, broker: Broker) {
    this.dir = dir;
    this.database = database;
    this.broker = broker;
  }

  /** Database and broker, and no process yet. `address`: where the broker is heard, if hosts are elsewhere than here. */
  static async create({ address }: { readonly address?: string } = {}): Promise<CloudOfProcesses> {
    const dir = await mkdtemp(join(tmpdir(), 'micronova-many-'));
    // QEMU and dnsmasq run as users of their own.
    await chmod(dir, 0o711);
    await mkdir(join(dir, 'hosts'), { mode: 0o711 });
    const [database, broker] = await Promise.all([
      PostgresCluster.create(),
      Broker.start(address === undefined ? {} : { address }),
    ]);
    const cloud = new CloudOfProcesses(dir, database, broker);
    cloud.#urls.database = database.url('postgres');
    cloud.#urls.bus = await broker.vhost();
    return cloud;
  }

  /** Starts one more process. The first api is the one that clients ask. */
  async add(
    name: string,
    roles: string,
    settings: Settings = {},
    how: { readonly doubling?: boolean; readonly data?: string; readonly enter?: readonly string[] } = {},
  ): Promise<Member> {
    const isHost = roles === 'compute';
    const data = how.data ?? (isHost ? this.homeOf(name) : join(this.dir, name));
    const all: Settings = {
      bus: this.#urls.bus,
      ...(!isHost && { database: this.#urls.database }),
      ...(roles.includes('api')
        ? { image_store: join(this.dir, 'images') }
        : roles.includes('conductor') && { image_url: `${this.#url}/image` }),
      host_name: name,
      // Hosts that share a machine cannot have networks side by side, unless each is in a namespace.
      network: 'none',
      listen: '127.0.0.1:0',
      quota_instances: -1,
      quota_cores: -1,
      quota_ram_mib: -1,
      ...settings,
    };
    const env = Object.fromEntries(
      Object.entries(all).map(([key, value]) => [`MICRONOVA_${key.toUpperCase()}`, `${value}`]),
    );
    const program = how.doubling ? [process.execPath, DOUBLING] : [MICRONOVA];
    const member = new Member(name, [...(how.enter ?? []), ...program, 'serve', '--roles', roles, '--data', data], {
      ...process.env,
      ...env,
    });
    this.members.set(name, member);
    const said = await member.start();
    if (roles.includes('api') && this.#url === '') this.#url = said;
    return member;
  }

  /** Where a host keeps what it has. */
  homeOf(host: string): string {
    return join(this.dir, 'hosts', host);
  }

  member(name: string): Member {
    const member = this.members.get(name);
    if (!member) throw new Error(`no process ${name}`);
    return member;
  }

  get url(): string {
    return this.#url;
  }

  /** The record, opened by the test itself. */
  get db(): Database {
    if (!this.#db) throw new Error('the record is not open: call `open`');
    return this.#db;
  }

  async open(): Promise<void> {
    this.#db ??= await openPostgres(this.#urls.database);
  }

  async as(user: User): Promise<Client> {
    const known = this.#clients.get(user);
    if (known) return known;
    const api = [...this.members.keys()][0] ?? '';
    const client = await Client.login(this.#url, join(this.dir, api), user);
    this.#clients.set(user, client);
    return client;
  }

  /** Launches a server of 128 MiB. */
  async launch(imageRef: string, more: object = {}): Promise<TestServer> {
    const server = { name: 'tester', imageRef, flavorRef: '42', networks: 'auto', ...more };
    const client = await this.as('demo');
    const answer = await client.request<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
      json: { server },
    });
    if (answer.status !== 202) throw new Error(`launch: ${answer.status} ${JSON.stringify(answer.body)}`);
    return new TestServer(this, 'demo', answer.body.server.id, answer.requestId);
  }

  leaks(): Promise<string[]> {
    return lastingLeaks(this.db, this.dir);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.members.values()].map((member) => member.kill()));
    await this.#db?.close();
    await this.broker[Symbol.asyncDispose]();
    await this.database[Symbol.asyncDispose]();
    await rm(this.dir, { recursive: true, force: true });
  }
}
