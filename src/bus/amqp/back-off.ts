/** How long to wait before the next try: longer each time, up to a limit. */

export interface BackOff {
  readonly firstMs: number;
  readonly factor: number;
  readonly mostMs: number;
}

/** In ms, after so many tries in vain (the first is 1). Half of it is chance, so that many do not come back at once. */
export function backOff({ firstMs, factor, mostMs }: BackOff, tries: number): number {
  const most = Math.min(mostMs, firstMs * factor ** (tries - 1));
  return most / 2 + (Math.random() * most) / 2;
}
