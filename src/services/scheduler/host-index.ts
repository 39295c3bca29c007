/**
 * The scheduler's picture of the hosts, best first. It is a hint that makes decisions fast; whether there is room is
 * decided by the claim, in the database.
 */
import type { HostState } from './host-state.ts';

interface Ranked {
  readonly host: HostState;
  readonly weight: number;
}

export class HostIndex {
  readonly #weigh: (host: HostState) => number;
  readonly #byName = new Map<string, Ranked>();
  /** Sorted by falling weight, then by name. */
  #ranking: Ranked[] = [];

  constructor(weigh: (host: HostState) => number) {
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#ranking.length;
  }

  replaceAll(hosts: readonly HostState[]): void {
    this.#ranking = hosts.map((host) => ({ host, weight: this.#weigh(host) })).sort(compare);
    this.#byName.clear();
    for (const ranked of this.#ranking) this.#byName.set(ranked.host.name, ranked);
  }

  set(host: HostState): void {
    const old = this.#byName.get(host.name);
    if (old) this.#ranking.splice(this.#place(old), 1);
    const ranked = { host, weight: this.#weigh(host) };
    this.#byName.set(host.name, ranked);
    this.#ranking.splice(this.#place(ranked), 0, ranked);
  }

  *bestFirst(): IterableIterator<HostState> {
    for (const { host } of this.#ranking) yield host;
  }

  /** Where `ranked` stands, or would stand. */
  #place(ranked: Ranked): number {
    let low = 0;
    let high = this.#ranking.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#ranking[middle];
      if (other && compare(other, ranked) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function compare(a: Ranked, b: Ranked): number {
  if (a.weight !== b.weight) return b.weight - a.weight;
  return a.host.name < b.host.name ? -1 : a.host.name > b.host.name ? 1 : 0;
}
