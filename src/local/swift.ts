/**
 * An S3-compatible store of one's own, for tests: OpenStack Swift with its `s3api`, on one disk and on 127.0.0.1 alone. Signatures are
 * checked, and uploads in parts are Swift's large objects.
 *
 * Its processes are children of the test and are told by the kernel to die with it.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

const PROGRAM = '/usr/bin/swift-proxy-server';
const START_MS = 60_000;
const KINDS = ['account', 'container', 'object'] as const;
/** What the proxy's parts do is in Swift's own documentation; `s3api` and what it needs come before them. */
const PIPELINE =
  'catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes proxy-server';

/** What a client of it needs. */
export interface SwiftAccess {
  readonly endpoint: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

export class Swift implements AsyncDisposable {
  readonly access: SwiftAccess;
  readonly #dir: string;
  readonly #ports: readonly number[];
  #servers: ChildProcess[] = [];

  private constructor(dir: string, ports: readonly number[]) {
    this.#dir = dir;
    this.#ports = ports;
    this.access = {
      endpoint: `http://127.0.0.1:${ports.at(-1)}`,
      accessKey: 'test:tester',
      secretKey: 'a-secret-of-the-store',
    };
  }

  static async start(): Promise<Swift> {
    if (!existsSync(PROGRAM))
      throw new Error('no Swift here: tools/setup.sh --also swift-proxy swift-account swift-container swift-object');
    const swift = new Swift(await mkdtemp(join(tmpdir(), 'micronova-swift-')), await freePorts(KINDS.length + 1));
    try {
      await swift.#configure();
      await swift.start();
    } catch (error) {
      await swift[Symbol.asyncDispose]();
      throw error;
    }
    return swift;
  }

  /** Starts it, also again on the same data. */
  async start(): Promise<void> {
    this.#servers = [...KINDS, 'proxy'].map((kind) => this.#spawn(kind));
    const deadline = Date.now() + START_MS;
    while (!(await this.#answers())) {
      if (this.#servers.some(({ exitCode }) => exitCode !== null)) throw new Error(`Swift ended:\n${this.#output()}`);
      if (Date.now() > deadline) throw new Error(`Swift does not answer:\n${this.#output()}`);
      await delay(50);
    }
  }

  /** Ends it as a power cut does. */
  async kill(): Promise<void> {
    for (const server of this.#servers) {
      if (server.exitCode !== null || server.signalCode) continue;
      const exit = once(server, 'exit');
      server.kill('SIGKILL');
      await exit;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 5 });
  }

  async #configure(): Promise<void> {
    await mkdir(join(this.#dir, 'disks', 'one'), { recursive: true });
    this.#write('swift.conf', [
      '[swift-hash]',
      'swift_hash_path_suffix = test',
      '[storage-policy:0]',
      'name = one',
      'default = yes',
    ]);
    for (const [index, kind] of KINDS.entries()) {
      const port = this.#ports[index];
      const ring = (...words: string[]) =>
        execFileSync('swift-ring-builder', [`${kind}.builder`, ...words], { cwd: this.#dir, stdio: 'pipe' });
      ring('create', '4', '1', '1');
      ring(
        'add',
        '--region',
        '1',
        '--zone',
        '1',
        '--ip',
        '127.0.0.1',
        '--port',
        `${port}`,
        '--device',
        'one',
        '--weight',
        '1',
      );
      ring('rebalance');
      this.#write(`${kind}.conf`, [
        ...this.#defaults(port),
        `devices = ${join(this.#dir, 'disks')}`,
        'mount_check = false',
        'disable_fallocate = true',
        ...['[pipeline:main]', `pipeline = ${kind}-server`, `[app:${kind}-server]`, `use = egg:swift#${kind}`],
      ]);
    }
    const { accessKey, secretKey } = this.access;
    const filters = PIPELINE.split(' ').slice(0, -1);
    this.#write('proxy.conf', [
      ...this.#defaults(this.#ports.at(-1)),
      ...['[pipeline:main]', `pipeline = ${PIPELINE}`],
      ...['[app:proxy-server]', 'use = egg:swift#proxy', 'account_autocreate = true'],
      ...filters.flatMap((name) => [
        `[filter:${name}]`,
        `use = egg:swift#${name === 'cache' ? 'memcache' : name}`,
        ...(name === 'tempauth' ? [`user_${accessKey.replace(':', '_')} = ${secretKey} .admin`] : optionsOf(name)),
      ]),
    ]);
  }

  #defaults(port: number | undefined): string[] {
    return [
      ...['[DEFAULT]', 'bind_ip = 127.0.0.1', `bind_port = ${port}`, `swift_dir = ${this.#dir}`],
      // No children: the process that is ended is the server.
      ...['workers = 0', `user = ${userInfo().username}`, 'log_level = ERROR'],
    ];
  }

  #write(name: string, lines: readonly string[]): void {
    writeFileSync(join(this.#dir, name), `${lines.join('\n')}\n`, { mode: 0o600 });
  }

  #spawn(kind: string): ChildProcess {
    const output = openSync(join(this.#dir, 'output.log'), 'a');
    try {
      const words = ['--pdeathsig', 'KILL', `swift-${kind}-server`, join(this.#dir, `${kind}.conf`), '-v'];
      return spawn('setpriv', words, { stdio: ['ignore', output, output], cwd: this.#dir });
    } finally {
      closeSync(output);
    }
  }

  /** Whether all of its processes do. */
  async #answers(): Promise<boolean> {
    const ports = this.#ports.map((port) => fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(1000) }));
    return (await Promise.allSettled(ports)).every(({ status }) => status === 'fulfilled');
  }

  #output(): string {
    return readFileSync(join(this.#dir, 'output.log'), 'utf8').slice(-2_000);
  }
}

/** Of the parts of the proxy that need some. */
function optionsOf(name: string): string[] {
  // Nobody listens there, and nothing is kept.
  if (name === 'cache') return ['memcache_servers = 127.0.0.1:1'];
  if (name === 's3api') return ['location = us-east-1'];
  return name === 'slo' ? ['min_segment_size = 1'] : [];
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as { port: number }).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
