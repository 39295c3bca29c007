/** Summaries of repeated measurements. The machine may be busy with other work, so: the median, and the best beside it. */

/** The middle value; of an even number, the upper of the two. Throws for none, which would be a benchmark that ran nothing. */
export function median(values: readonly number[]): number {
  const value = values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
  if (value === undefined) throw new Error('no measurements');
  return value;
}

export function least(values: readonly number[]): number {
  return Math.min(...values);
}

export function most(values: readonly number[]): number {
  return Math.max(...values);
}

/** Calls `work` and answers how long it took, in ms. */
export async function timed(work: () => unknown): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** A duration for people: `870 µs`, `12.3 ms`, `1.24 s`. */
export function duration(ms: number): string {
  if (ms < 1) return `${(ms * 1000).toPrecision(3)} µs`;
  return ms < 1000 ? `${ms.toFixed(ms < 100 ? 1 : 0)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** `median 12.3 ms (best 10.1)`, with how many. */
export function durations(all: readonly number[]): string {
  return `${duration(median(all))} (best ${duration(least(all))}, n=${all.length})`;
}

const MIB = 2 ** 20;

export function mib(bytes: number): string {
  return `${Math.round(bytes / MIB)} MiB`;
}

export function perSecond(rate: number): string {
  return `${rate < 100 ? rate.toFixed(1) : Math.round(rate)}/s`;
}
