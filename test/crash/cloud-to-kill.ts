/**
 * A cloud that dies and is started again on the same data, as the parent of the victims sees it: start, arm, wait for
 * the death, start again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Database } from '#db/database.ts';
import { openSqlite } from '#db/sqlite.ts';
import { choosePlane } from '#services/compute/network/choose-plane.ts';
import { hostTag } from '#services/compute/network/names.ts';
import { Client, type User } from '../client.ts';
import { guestProcesses } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { lastingLeaks } from '../leaks.ts';
import { planeTraces } from '../plane-leaks.ts';

const VICTIM = new URL('victim.ts', import.meta.url).pathname;

export class CloudToKill implements AsyncDisposable {
  readonly data: string;
  readonly driver: 'fake' | 'qemu';
  readonly #settings: Readonly<Record<string, number>>;
  #child: ChildProcess | undefined;
  #url = '';
  readonly #logins = new Map<User, Client>();
  #errors = '';
  #armed: (() => void) | undefined;

  private constructor(data: string, driver: 'fake' | 'qemu', settings: Readonly<Record<string, number>>) {
    this.data = data;
    this.driver = driver;
    this.#settings = settings;
  }

  static async start(driver: 'fake' | 'qemu', settings: Readonly<Record<string, number>> = {}): Promise<CloudToKill> {
    const cloud = new CloudToKill(await mkdtemp(join(tmpdir(), 'micronova-crash-')), driver, settings);
    await cloud.start();
    return cloud;
  }

  /** Starts one, and disposes of it in the end. Of two errors the first is told: not that of clearing up after it. */
  static async during(
    driver: 'fake' | 'qemu',
    settings: Readonly<Record<string, number>>,
    work: (cloud: CloudToKill) => Promise<void>,
  ): Promise<void> {
    try {
      await using cloud = await CloudToKill.start(driver, settings);
      await work(cloud);
    } catch (error) {
      throw error instanceof SuppressedError ? error.suppressed : error;
    }
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get url(): string {
    return this.#url;
  }

  /** Starts a process on the data, killed at `point` already while it starts and recovers; resolves false if it was. */
  async start(point?: string): Promise<boolean> {
    const args = [VICTIM, this.data, this.driver, JSON.stringify(this.#settings), ...(point ? [point] : [])];
    const child = spawn(process.execPath, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), 'micronova-test-compiled') },
    });
    this.#child = child;
    this.#errors = '';
    // An order to one that is just dying.
    child.stdin.on('error', () => undefined);
    child.stderr.on('data', (chunk) => {
      this.#errors += chunk;
    });
    const lines = createInterface(child.stdout);
    const url = Promise.withResolvers<string | null>();
    lines.on('line', (line) => {
      if (line.startsWith('ready ')) url.resolve(line.slice('ready '.length));
      if (line === 'armed') this.#armed?.();
    });
    child.once('exit', () => url.resolve(null));
    const ready = await url.promise;
    if (ready === null && child.signalCode !== 'SIGKILL') throw new Error(`the victim did not start: ${this.#errors}`);
    this.#url = ready ?? '';
    return ready !== null;
  }

  /** The process dies at that point from now on (`none`: at none). Resolves when it knows, or is dead. */
  async arm(point: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#armed = resolve;
    this.#child?.stdin?.write(`${point}\n`);
    await Promise.race([promise, this.death()]);
  }

  get isAlive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Resolves when the process is gone. */
  async death(): Promise<void> {
    if (this.#child && this.isAlive) await once(this.#child, 'exit');
  }

  /** Kills it now. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.death();
  }

  /** Throws when it ended in another way than by being killed. */
  checkDeath(): void {
    if (!this.isAlive && this.#child?.signalCode !== 'SIGKILL')
      throw new Error(`the victim ended by itself: ${this.#errors}`);
  }

  demo(): Promise<Client> {
    return this.#as('demo');
  }

  admin(): Promise<Client> {
    return this.#as('admin');
  }

  /** A token outlives the process. */
  async #as(user: User): Promise<Client> {
    const login = this.#logins.get(user) ?? (await Client.login(this.url, this.data, user));
    this.#logins.set(user, login);
    return login.at(this.url);
  }

  /** Looks into the record, which a running process has open as well. */
  async withRecord<Result>(look: (db: Database) => Promise<Result>): Promise<Result> {
    const db = await openSqlite(join(this.data, 'micronova.sqlite'));
    try {
      return await look(db);
    } finally {
      await db.close();
    }
  }

  leaks(): Promise<string[]> {
    return this.withRecord((db) => lastingLeaks(db, this.data));
  }

  /** Waits until no operation is open; fails for one that is stuck. */
  async atRest(): Promise<void> {
    await eventually('every operation ended', () => this.isAtRest(), { withinMs: 60_000, state: () => this.#open() });
  }

  async isAtRest(): Promise<boolean> {
    return (await this.#open()).length === 0;
  }

  #open() {
    return this.withRecord((db) =>
      db.queries
        .selectFrom('operations')
        .select(['id', 'kind', 'state', 'error'])
        .where('finished_at', 'is', null)
        .execute(),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const child = this.#child;
    const wasAlive = this.isAlive;
    if (child && wasAlive) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    // None, unless the test failed and nobody came to ending them.
    for (const pid of guestProcesses(this.data)) process.kill(pid, 'SIGKILL');
    const left = this.driver === 'qemu' ? await this.#removeNetworks() : [];
    await rm(this.data, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`networks leave behind: ${left.join('; ')}`);
    if (wasAlive && child?.exitCode !== 0)
      throw new Error(`the victim ended with ${child?.exitCode ?? child?.signalCode}: ${this.#errors}`);
  }

  /** They outlive the process, as its guests do. Answers what is left of them even then. */
  async #removeNetworks(): Promise<string[]> {
    const tag = hostTag(this.data, hostname());
    const plane = await choosePlane({ want: 'auto', tag, dir: join(this.data, 'network'), qemuUid: null });
    await plane.remove();
    return planeTraces(this.data);
  }
}
