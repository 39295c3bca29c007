/** A seeded source of randomness, so that a failing request can be made again from the seed and the index it prints. */

export interface Prng {
  /** 0 ≤ x < 1 */
  next(): number;
  /** 0 ≤ n < `below`, whole. */
  below(below: number): number;
  chance(probability: number): boolean;
  /** One of `items`, which must not be empty. */
  pick<Item>(items: readonly Item[]): Item;
}

/** The source of `seed`; give an index to get an independent one per request. */
export function prng(seed: number, index = 0): Prng {
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(index + 1, 0xc2b2ae35)) >>> 0;
  const next = () => {
    // mulberry32
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const below = (limit: number) => Math.floor(next() * limit);
  return {
    next,
    below,
    chance: (probability) => next() < probability,
    pick: (items) => {
      const picked = items[below(items.length)];
      if (picked === undefined && items.length === 0) throw new Error('nothing to pick from');
      // In range, so it is an item; only an array of undefineds has an undefined there.
      return picked as (typeof items)[number];
    },
  };
}
