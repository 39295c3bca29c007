/**
 * Servers rendered to JSON text, kept by the row's version: lists of servers that did not change cost a join of texts.
 *
 * A rendering is for one kind of viewer; the row's version counts every change, so nothing is ever stale.
 */
import type { ServerRef } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';

const MAX_ENTRIES = 20_000;

interface Entry {
  readonly version: number;
  readonly text: string;
}

export class ViewCache {
  readonly #entries = new Map<string, Entry>();

  /** The texts of `refs` in their order, without those that are gone; rows that are not rendered yet are read with `load` and rendered. */
  async render(
    refs: readonly ServerRef[],
    viewer: string,
    load: (ids: readonly string[]) => Promise<readonly ServerRow[]>,
    view: (row: ServerRow) => unknown,
  ): Promise<{ readonly id: string; readonly text: string }[]> {
    const missing = refs.filter((ref) => this.#entries.get(viewer + ref.id)?.version !== ref.version);
    if (missing.length > 0) {
      for (const row of await load(missing.map(({ id }) => id)))
        this.#put(viewer + row.id, row.version, JSON.stringify(view(row)));
    }
    return refs.flatMap(({ id }) => {
      const entry = this.#entries.get(viewer + id);
      return entry ? { id, text: entry.text } : [];
    });
  }

  #put(key: string, version: number, text: string): void {
    this.#entries.delete(key);
    this.#entries.set(key, { version, text });
    const [oldest] = this.#entries.keys();
    if (this.#entries.size > MAX_ENTRIES && oldest !== undefined) this.#entries.delete(oldest);
  }
}
