/** A `micronova serve` in the background, on whatever host. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { CommandError } from '../command-error.ts';

export interface Wanted {
  readonly name: string;
  readonly roles: string;
  readonly data: string;
  /** More settings, by their names in the configuration. */
  readonly settings: Readonly<Record<string, string>>;
  /** What the command begins with: `ip netns exec …`. */
  readonly enter?: readonly string[];
}

export class ServeProcess {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Resolves when it is ready, with what it said: its address, or its roles. Throws `CommandError` when it ends instead. */
  static async start({
    name,
    roles,
    data,
    settings,
    enter = [],
  }: Wanted): Promise<{ process: ServeProcess; said: string }> {
    const [, main = ''] = process.argv;
    const [program = '', ...words] = [...enter, process.execPath, main, 'serve', '--roles', roles, '--data', data];
    const env = Object.fromEntries(
      Object.entries(settings).map(([key, value]) => [`MICRONOVA_${key.toUpperCase()}`, value]),
    );
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    let complaint = '';
    child.stderr.on('data', (text: Buffer) => {
      complaint = (complaint + text).slice(-2_000);
    });
    const ready = Promise.withResolvers<string>();
    createInterface(child.stdout).on('line', (line) => {
      const [, said] = /^ready (\S+)/.exec(line) ?? [];
      if (said) ready.resolve(said);
    });
    child.once('exit', () => ready.reject(new CommandError(`${name} did not start:\n${complaint}`)));
    return { process: new ServeProcess(child), said: await ready.promise };
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    await exited;
  }
}
