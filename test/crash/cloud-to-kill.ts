/**
 * A cloud that dies and is started again on the same data, as the parent of the victims sees it: start, arm, wait for
 * the death, start again.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Database } from '#db/database.ts';
import { openSqlite } from '#db/sqlite.ts';
import { Client } from '../client.ts';
import { eventually } from '../eventually.ts';
import { lastingLeaks } from '../leaks.ts';

const VICTIM = new URL('victim.ts', import.meta.url).pathname;

export class CloudToKill implements AsyncDisposable {
  readonly data: string;
  readonly #driver: 'fake' | 'qemu';
  #child: ChildProcess | undefined;
  #url = '';
  #login: Client | undefined;
  #errors = '';
  #armed: (() => void) | undefined;

  private constructor(data: string, driver: 'fake' | 'qemu') {
    this.data = data;
    this.#driver = driver;
  }

  static async start(driver: 'fake' | 'qemu'): Promise<CloudToKill> {
    const cloud = new CloudToKill(await mkdtemp(join(tmpdir(), 'micronova-crash-')), driver);
    await cloud.start();
    return cloud;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get url(): string {
    return this.#url;
  }

  /** Starts a process on the data, killed at `point` already while it starts and recovers; resolves false if it was. */
  async start(point?: string): Promise<boolean> {
    const child = spawn(process.execPath, [VICTIM, this.data, this.#driver, ...(point ? [point] : [])], {
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

  /** The demo user; a token outlives the process. */
  async demo(): Promise<Client> {
    this.#login ??= await Client.login(this.url, this.data, 'demo');
    return this.#login.at(this.url);
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
    if (child && this.isAlive) {
      child.kill('SIGTERM');
      await once(child, 'exit');
      if (child.exitCode !== 0)
        throw new Error(`the victim ended with ${child.exitCode ?? child.signalCode}: ${this.#errors}`);
    }
    await rm(this.data, { recursive: true, force: true });
  }
}
