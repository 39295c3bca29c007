/**
 * A RabbitMQ of one's own, for tests and for the demo: its own folder, ports, name and port mapper, on 127.0.0.1 alone, so that it meets
 * neither the machine's own broker nor another test's. It can be stopped, killed and started again on the same data.
 *
 * Its processes are children of the test and are told by the kernel to die with it.
 */

import type { ChildProcess } from 'node:child_process';
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { answers } from './answers.ts';

const SERVER = '/usr/lib/rabbitmq/bin/rabbitmq-server';
const CONTROL = '/usr/lib/rabbitmq/bin/rabbitmqctl';
/** Debian's user, whom it runs as when the test is root. */
const USER = 'rabbitmq';
const START_MS = 60_000;

export interface BrokerOptions {
  /** Where it listens for clients; 127.0.0.1 where not given. */
  readonly address?: string;
  /** PEM files; with them it also listens with TLS, and asks clients for certificates of the same authority. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

interface Ports {
  readonly amqp: number;
  readonly amqps: number;
  readonly management: number;
  readonly distribution: number;
  readonly epmd: number;
}

export class Broker implements AsyncDisposable {
  readonly #dir: string;
  readonly #address: string;
  readonly #ports: Ports;
  #epmd: ChildProcess | undefined;
  #server: ChildProcess | undefined;

  private constructor(dir: string, address: string, ports: Ports) {
    this.#dir = dir;
    this.#address = address;
    this.#ports = ports;
  }

  static async start({ tls, address = '127.0.0.1' }: BrokerOptions = {}): Promise<Broker> {
    if (!existsSync(SERVER)) throw new Error('no RabbitMQ here: tools/setup.sh --also rabbitmq-server');
    const dir = await mkdtemp(join(tmpdir(), 'micronova-rabbitmq-'));
    const [amqp, amqps, management, distribution, epmd] = await freePorts(5);
    const broker = new Broker(dir, address, { amqp, amqps, management, distribution, epmd } as Ports);
    give(dir);
    broker.#write('enabled_plugins', '[rabbitmq_management].\n');
    broker.#write('rabbit.conf', broker.#config(tls));
    try {
      await broker.start();
    } catch (error) {
      await broker[Symbol.asyncDispose]();
      throw error;
    }
    return broker;
  }

  get port(): number {
    return this.#ports.amqp;
  }

  /** The address of a virtual host, or of the first one. */
  url(vhost = '', { user = 'guest:guest', tls = false } = {}): string {
    const { amqp, amqps } = this.#ports;
    return tls ? `amqps://${user}@localhost:${amqps}/${vhost}` : `amqp://${user}@${this.#address}:${amqp}/${vhost}`;
  }

  /** The address of a virtual host that nobody has used. */
  async vhost(): Promise<string> {
    const name = randomUUID();
    await this.#manage('PUT', `vhosts/${name}`);
    return this.url(name);
  }

  /** Cuts every connection, as its administrator does. Answers how many. */
  async cutConnections(): Promise<number> {
    const connections = (await this.#manage('GET', 'connections')) as readonly { readonly name: string }[];
    for (const { name } of connections) await this.#manage('DELETE', `connections/${encodeURIComponent(name)}`);
    return connections.length;
  }

  /** The names its clients gave their connections. */
  async connectionNames(): Promise<readonly string[]> {
    const connections = (await this.#manage('GET', 'connections')) as readonly {
      readonly client_properties?: { readonly connection_name?: string };
    }[];
    return connections.flatMap(({ client_properties: of }) => of?.connection_name ?? []);
  }

  /** `rabbitmqctl …`; takes seconds. */
  async control(...words: readonly string[]): Promise<void> {
    const child = this.#spawn(CONTROL, '--node', this.#env.RABBITMQ_NODENAME, ...words);
    const [status] = await once(child, 'exit');
    if (status !== 0) throw new Error(`rabbitmqctl ${words.join(' ')} failed:\n${this.#output()}`);
  }

  async start(): Promise<void> {
    const { amqp, epmd } = this.#ports;
    this.#epmd ??= this.#spawn('epmd', '-port', `${epmd}`, '-address', '127.0.0.1');
    await this.#until('the port mapper answers', () => answers(epmd));
    const server = this.#spawn(SERVER);
    this.#server = server;
    await this.#until('RabbitMQ answers', async () => {
      if (server.exitCode !== null || server.signalCode) throw new Error(`RabbitMQ ended:\n${this.#output()}`);
      const isThere = (await answers(amqp, this.#address)) && (await this.#manage('GET', 'overview').catch(() => null));
      return Boolean(isThere);
    });
  }

  async #until(what: string, isSo: () => Promise<boolean>): Promise<void> {
    const deadline = Date.now() + START_MS;
    while (!(await isSo())) {
      if (Date.now() > deadline) throw new Error(`not within ${START_MS / 1000} s: ${what}\n${this.#output()}`);
      await delay(20);
    }
  }

  get #env() {
    const { amqp, epmd, distribution } = this.#ports;
    return {
      PATH: process.env.PATH,
      HOME: this.#dir,
      ERL_EPMD_PORT: `${epmd}`,
      ERL_EPMD_ADDRESS: '127.0.0.1',
      RABBITMQ_NODENAME: `test-${amqp}@localhost`,
      RABBITMQ_DIST_PORT: `${distribution}`,
      RABBITMQ_MNESIA_BASE: join(this.#dir, 'data'),
      RABBITMQ_LOG_BASE: join(this.#dir, 'log'),
      RABBITMQ_GENERATED_CONFIG_DIR: join(this.#dir, 'config'),
      RABBITMQ_CONFIG_FILE: join(this.#dir, 'rabbit.conf'),
      RABBITMQ_ADVANCED_CONFIG_FILE: join(this.#dir, 'advanced.config'),
      RABBITMQ_CONF_ENV_FILE: '/dev/null',
      RABBITMQ_ENABLED_PLUGINS_FILE: join(this.#dir, 'enabled_plugins'),
      RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS: '-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none',
      // The script becomes the broker instead of waiting for it, so that its process is the one to end.
      detached: 'yes',
    };
  }

  #spawn(command: string, ...args: readonly string[]): ChildProcess {
    const [as, ...user] = asUser();
    const output = openSync(join(this.#dir, 'output.log'), 'a');
    try {
      return spawn(as, [...user, 'setpriv', '--pdeathsig', 'KILL', command, ...args], {
        stdio: ['ignore', output, output],
        cwd: this.#dir,
        env: this.#env,
      });
    } finally {
      closeSync(output);
    }
  }

  /** Ends it in an orderly way. */
  async stop(): Promise<void> {
    await ended(this.#server, 'SIGTERM');
  }

  /** Ends it as a power cut does. */
  async kill(): Promise<void> {
    await ended(this.#server, 'SIGKILL');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await ended(this.#epmd, 'SIGKILL');
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #config(tls: BrokerOptions['tls']): string {
    const { amqp, amqps, management } = this.#ports;
    const lines = [
      `listeners.tcp.1 = ${this.#address}:${amqp}`,
      // Whoever reaches it may log in: nobody does from outside.
      'loopback_users = none',
      'management.tcp.ip = 127.0.0.1',
      `management.tcp.port = ${management}`,
      'collect_statistics_interval = 1000',
      // A machine with a full disk or memory must not make the tests wait.
      'disk_free_limit.absolute = 1MB',
      'vm_memory_high_watermark.relative = 0.8',
    ];
    if (!tls) return `${lines.join('\n')}\n`;
    const file = (name: string, from: string) => this.#write(name, readFileSync(from, 'utf8'));
    lines.push(
      `listeners.ssl.1 = 127.0.0.1:${amqps}`,
      `ssl_options.cacertfile = ${file('ca.pem', tls.ca)}`,
      `ssl_options.certfile = ${file('cert.pem', tls.cert)}`,
      `ssl_options.keyfile = ${file('key.pem', tls.key)}`,
      'ssl_options.verify = verify_peer',
      'ssl_options.fail_if_no_peer_cert = true',
    );
    return `${lines.join('\n')}\n`;
  }

  /** Writes a file that it may read; answers the path. */
  #write(name: string, text: string): string {
    const path = join(this.#dir, name);
    writeFileSync(path, text, { mode: 0o600 });
    give(path);
    return path;
  }

  #output(): string {
    return readFileSync(join(this.#dir, 'output.log'), 'utf8').slice(-2_000);
  }

  async #manage(method: string, path: string): Promise<unknown> {
    const answer = await fetch(`http://127.0.0.1:${this.#ports.management}/api/${path}`, {
      method,
      headers: { authorization: `Basic ${btoa('guest:guest')}`, 'content-type': 'application/json' },
    });
    const text = await answer.text();
    // A connection to be cut may have ended by itself.
    if (!answer.ok && !(method === 'DELETE' && answer.status === 404))
      throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  }
}

const isRoot = () => process.getuid?.() === 0;

/** The begin of a command. Changing the user forgets the signal for the parent's death, so that one is set afterwards. */
function asUser(): [string, ...string[]] {
  return isRoot() ? ['setpriv', '--reuid', USER, '--regid', USER, '--clear-groups'] : ['env'];
}

function give(path: string): void {
  if (!isRoot()) return;
  const id = (kind: string) => Number(execFileSync('id', [kind, USER], { encoding: 'utf8' }));
  chownSync(path, id('-u'), id('-g'));
}

async function ended(child: ChildProcess | undefined, signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}

/** Below those that the kernel gives to clients, so that a stopped broker finds its own free again. */
async function freePorts(count: number): Promise<number[]> {
  const free: number[] = [];
  while (free.length < count) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    if (!free.includes(port) && port !== 25_672 && (await isFree(port))) free.push(port);
  }
  return free;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
