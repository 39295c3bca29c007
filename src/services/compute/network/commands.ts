/**
 * The kernel's tools (`ip`, `bridge`, `nft` …), each run in the namespace that it is for, fed by files and never forked from Node itself
 * (`spawner.ts`). One at a time for whoever awaits them; every one is observed.
 */
import { randomUUID } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isMissing, unlinkIfThere } from '../driver/guest-files.ts';
import { Spawner } from '../driver/qemu/spawner.ts';
import { SPACES_DIR } from './base.ts';
import type { FoundLink } from './texts/links.ts';

/** Hears of every command: its words, how long it took in ms, and what went wrong. */
export type CommandObserver = (command: string, ms: number, error?: string) => void;

export interface CommandOptions {
  /** A folder of our own for what goes in and out of commands. */
  readonly dir: string;
  /** What every command begins with, to be where the plane is; see `rootless.ts`. */
  readonly outside: () => readonly string[];
  /** Where this process finds the names of network namespaces; see `base.ts`. */
  readonly spacesDir: () => string;
  readonly observe: CommandObserver;
  /** Hears of every command before it is run; for tests that end the process there. */
  readonly before?: (command: string) => void;
}

/** Files of commands, which a crash may leave: see `recover` of the plane. */
export const COMMAND_FILE = /^(stdin|stdout|tool)-[0-9a-f-]{36}(\.log)?$/;

export class Commands {
  readonly #options: CommandOptions;
  readonly #spawner = new Spawner();

  constructor(options: CommandOptions) {
    this.#options = options;
  }

  /** What a command in a namespace begins with. */
  words(space: string | null): string[] {
    const outside = this.#options.outside();
    return space === null ? [...outside] : [...outside, 'nsenter', `--net=${SPACES_DIR}/${space}`, '--'];
  }

  /** Runs a command in a namespace (null: outside of ours); answers what it printed. Rejects with `DriverError` as `Spawner.run`. */
  run(space: string | null, argv: readonly string[], stdin?: string): Promise<string> {
    return this.raw([...this.words(space), ...argv], argv, stdin);
  }

  /** Runs these words; `shown` is what observers hear. */
  async raw(words: readonly string[], shown: readonly string[], stdin?: string): Promise<string> {
    const { dir, observe } = this.#options;
    const id = randomUUID();
    const [input, output] = [join(dir, `stdin-${id}`), join(dir, `stdout-${id}`)];
    this.#options.before?.(shown.join(' '));
    const begun = performance.now();
    try {
      if (stdin !== undefined) await writeFile(input, stdin, { mode: 0o600, flag: 'wx' });
      const files = { cwd: dir, stdout: output, ...(stdin !== undefined && { stdin: input }) };
      await this.#spawner.run(words, files);
      observe(shown.join(' '), performance.now() - begun);
      return await readFile(output, 'utf8');
    } catch (error) {
      observe(shown.join(' '), performance.now() - begun, error instanceof Error ? error.message : String(error));
      throw error;
    } finally {
      if (stdin !== undefined) await unlinkIfThere(input);
      await unlinkIfThere(output);
    }
  }

  /** Starts what is to outlive this process. Answers its pid. */
  async detach(words: readonly string[], log: string): Promise<number> {
    this.#options.before?.(words.join(' '));
    const begun = performance.now();
    const { pid } = await this.#spawner.detach(words, { cwd: this.#options.dir, log });
    this.#options.observe(words.join(' '), performance.now() - begun);
    return pid;
  }

  /** Nothing to do: nothing is run. */
  async ip(space: string | null, lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.run(space, ['ip', '-batch', '-'], joined(lines));
  }

  /** The same for what may be gone already: goes on after an error, and does not tell of it. */
  async ipIfThere(space: string | null, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await this.run(space, ['ip', '-force', '-batch', '-'], joined(lines)).catch(() => undefined);
  }

  async bridge(space: string | null, lines: readonly string[]): Promise<void> {
    if (lines.length > 0) await this.run(space, ['bridge', '-batch', '-'], joined(lines));
  }

  /** As `ipIfThere`. */
  async bridgeIfThere(space: string | null, lines: readonly string[]): Promise<void> {
    if (lines.length === 0) return;
    await this.run(space, ['bridge', '-force', '-batch', '-'], joined(lines)).catch(() => undefined);
  }

  async nft(space: string | null, script: string): Promise<void> {
    if (script !== '') await this.run(space, ['nft', '-f', '-'], script);
  }

  /** All devices with their addresses. */
  async links(space: string | null): Promise<FoundLink[]> {
    return fromJson(await this.run(space, ['ip', '-json', '-details', 'address', 'show']));
  }

  /** Names of all network namespaces, also of those that are none of ours: what `ip netns list` tells, without a process. */
  async spaces(): Promise<string[]> {
    try {
      return await readdir(this.#options.spacesDir());
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#spawner.close();
  }
}

/** iproute2 prints nothing for an empty list. */
function fromJson<Item>(text: string): Item[] {
  // Its own format, of which we look at few fields, all of them optional.
  return text.trim() === '' ? [] : (JSON.parse(text) as Item[]);
}

function joined(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}
