/** What is there while a plan is being applied: each namespace is looked at once, and again after it was changed. */
import type { Commands } from './commands.ts';
import type { FoundLink } from './texts/links.ts';

export class Found {
  readonly #commands: Commands;
  readonly #spaces: Set<string>;
  readonly #links = new Map<string | null, Promise<readonly FoundLink[]>>();

  private constructor(commands: Commands, spaces: readonly string[]) {
    this.#commands = commands;
    this.#spaces = new Set(spaces);
  }

  static async look(commands: Commands): Promise<Found> {
    return new Found(commands, await commands.spaces());
  }

  /** All network namespaces, also those of others. */
  get spaces(): ReadonlySet<string> {
    return this.#spaces;
  }

  /** Devices of a namespace; none where it is not there. Null: outside of ours. */
  links(space: string | null): Promise<readonly FoundLink[]> {
    if (space !== null && !this.#spaces.has(space)) return Promise.resolve([]);
    return this.#links.getOrInsertComputed(space, () => this.#commands.links(space));
  }

  /** Its devices are others now. */
  changed(space: string | null): void {
    this.#links.delete(space);
  }

  made(space: string): void {
    this.#spaces.add(space);
    this.changed(space);
  }

  gone(space: string): void {
    this.#spaces.delete(space);
    // Wires have two ends.
    this.#links.clear();
  }
}
