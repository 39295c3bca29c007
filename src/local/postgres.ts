/**
 * A PostgreSQL server of one's own, for tests and for the demo: a fresh folder, a Unix socket in it, no port, and nothing that lasts.
 *
 * It ends with this process, however that ends: a shell between us waits for the end of its input, which the kernel
 * closes, then ends exactly the server that it started, and removes the folder. Text is ordered as English here unless
 * we say otherwise, so that a query that leaves it to the server is found out.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The server refuses to run as root. */
const UNPRIVILEGED = 'nobody';
const BINARIES = ['/usr/lib/postgresql/15/bin', '/usr/lib/postgresql/16/bin', '/usr/lib/postgresql/17/bin'];

/** What is lost when the machine stops is lost with the test anyway. */
const SETTINGS = [
  'fsync=off',
  'synchronous_commit=off',
  'full_page_writes=off',
  'autovacuum=off',
  'max_connections=300',
  'shared_buffers=64MB',
  'listen_addresses=',
  'log_min_messages=fatal',
];

/** Runs the server until the input ends, then ends it; the folder goes unless the server is started again. */
const WATCH = `
"$@" &
server=$!
while read -r word; do
  case $word in stop) kept=yes; break ;; esac
done
kill -INT "$server"
wait "$server"
[ "\${kept:-}" = yes ] || rm -rf "$0"
`;

export class PostgresCluster implements AsyncDisposable {
  readonly #folder: string;
  readonly #bin: string;
  readonly #as: readonly string[];
  #watch: ChildProcess | undefined;

  private constructor(folder: string, bin: string, as: readonly string[]) {
    this.#folder = folder;
    this.#bin = bin;
    this.#as = as;
  }

  /** Makes and starts one. */
  static async create(): Promise<PostgresCluster> {
    const bin = BINARIES.find((path) => existsSync(join(path, 'postgres')));
    if (!bin) throw new Error(`no PostgreSQL in ${BINARIES.join(', ')}: 'npm test' installs it on Debian`);
    const folder = await mkdtemp(join(tmpdir(), 'micronova-pg-'));
    const as = unprivileged(folder);
    const cluster = new PostgresCluster(folder, bin, as);
    const options = ['--no-sync', '--auth=trust', '--username=micronova', '--encoding=UTF8', '--locale=C'];
    const english = ['--locale-provider=icu', '--icu-locale=en'];
    await cluster.#call('initdb', ['-D', join(folder, 'data'), ...options, ...english]);
    await cluster.start();
    return cluster;
  }

  /** The address of one of its databases. */
  url(database: string): string {
    return `postgres://micronova@/${database}?host=${encodeURIComponent(this.#folder)}`;
  }

  /** Resolves when it answers. */
  async start(): Promise<void> {
    const server = [join(this.#bin, 'postgres'), '-D', join(this.#folder, 'data'), '-k', this.#folder];
    const settings = SETTINGS.flatMap((setting) => ['-c', setting]);
    const [command = '', ...rest] = [...this.#as, '/bin/sh', '-c', WATCH, this.#folder, ...server, ...settings];
    // A group of its own: Ctrl-C is for us, and our end is for it.
    const watch = spawn(command, rest, { detached: true, cwd: this.#folder, stdio: ['pipe', 'ignore', 'ignore'] });
    watch.unref();
    (watch.stdin as unknown as { unref(): void }).unref();
    this.#watch = watch;
    await this.#untilItAnswers(watch);
  }

  /** Ends the server as an administrator does; what it holds is there when it is started again. */
  async stop(): Promise<void> {
    await this.#end('stop\n');
  }

  /** Ends the server and removes all that it held. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end('');
    // Whom the server runs as may not be allowed to take its folder out of ours.
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #end(word: string): Promise<void> {
    const watch = this.#watch;
    if (!watch) return;
    this.#watch = undefined;
    const ended = once(watch, 'exit');
    watch.ref();
    watch.stdin?.end(word);
    await ended;
  }

  /** There is nothing to be told by, so it is asked again and again, as long as it is being started. `pg_isready`. */
  async #untilItAnswers(watch: ChildProcess): Promise<void> {
    while (watch.exitCode === null) {
      const isReady = await run(join(this.#bin, 'pg_isready'), ['-q', '-h', this.#folder]).catch(() => null);
      if (isReady) return;
      await delay(20);
    }
    throw new Error(`PostgreSQL did not start in ${this.#folder}`);
  }

  async #call(program: string, args: readonly string[]): Promise<void> {
    const [command = '', ...rest] = [...this.#as, join(this.#bin, program), ...args];
    await run(command, rest, { cwd: this.#folder });
  }
}

/** What runs a program as somebody else, who gets the folder; nothing where we are not root. */
function unprivileged(folder: string): string[] {
  if (process.geteuid?.() !== 0) return [];
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((each) => each.startsWith(`${UNPRIVILEGED}:`));
  const [, , uid = '65534', gid = '65534'] = line?.split(':') ?? [];
  chownSync(folder, Number(uid), Number(gid));
  return ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
}
