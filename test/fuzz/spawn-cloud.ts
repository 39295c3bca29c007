/** Starts and questions the process of `cloud-process.ts`. */
import { type ChildProcess, fork } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { load } from 'js-yaml';
import type { Hold, Pretend, Vitals } from './cloud-process.ts';

export interface SpawnedCloud extends AsyncDisposable {
  readonly url: string;
  readonly dir: string;
  readonly expiredToken: string;
  readonly passwords: { readonly admin: string; readonly demo: string };
  /** Undefined while it lives. */
  exit(): string | undefined;
  measure(): Promise<void>;
  vitals(): Promise<Vitals>;
  /** A suspension of this server never ends by itself. */
  hold(server: string): Promise<void>;
  /** What this server does passes for a live migration from now on; answers its number. */
  pretendLive(server: string): Promise<number>;
  /** Everything in the folder of logs. */
  logs(): string;
  close(): Promise<void>;
}

/** Settings of the configuration by name, as far as they differ from the defaults. */
export async function spawnCloud(settings: Readonly<Record<string, string | number>> = {}): Promise<SpawnedCloud> {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-fuzz-'));
  const args = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  const child = fork(join(import.meta.dirname, 'cloud-process.ts'), [dir, ...args], {
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  });
  let stderr = '';
  child.stderr?.on('data', (text: Buffer) => {
    stderr += text;
  });
  let ended: string | undefined;
  const exited = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = `the cloud ended with ${signal ?? code}: ${stderr.slice(-4000)}`;
      resolve();
    });
  });
  const ask = async <Answer>(question?: string | Hold | Pretend): Promise<Answer> => {
    const answer = new Promise<Answer>((resolve) => child.once('message', (message) => resolve(message as Answer)));
    if (question !== undefined) child.send(question);
    return Promise.race([
      answer,
      exited.then((): never => {
        throw new Error(ended);
      }),
    ]);
  };
  const started = await ask<{ url: string; expiredToken: string }>();
  return {
    ...started,
    dir,
    passwords: passwordsIn(dir),
    exit: () => ended,
    measure: async () => void (await ask<string>('measure')),
    vitals: () => ask<Vitals>('vitals'),
    hold: async (server) => void (await ask<string>({ hold: server })),
    pretendLive: (server) => ask<number>({ live: server }),
    logs: () => textOf(join(dir, 'logs')),
    close: () => end(child, exited),
    async [Symbol.asyncDispose]() {
      await end(child, exited);
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess, exited: Promise<void>): Promise<void> {
  if (child.connected) child.send('close');
  const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
  await exited;
  clearTimeout(timer);
}

function passwordsIn(dir: string): { admin: string; demo: string } {
  const { clouds } = load(readFileSync(join(dir, 'clouds.yaml'), 'utf8')) as {
    clouds: Record<string, { auth: { password: string } }>;
  };
  return {
    admin: clouds['micronova-admin']?.auth.password ?? '',
    demo: clouds.micronova?.auth.password ?? '',
  };
}

function textOf(dir: string): string {
  return readdirSync(dir)
    .map((name) => readFileSync(join(dir, name), 'utf8'))
    .join('');
}
