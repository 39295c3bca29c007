/** Times as Nova writes them: three forms, each in its own places. All take epoch ms. */

/** `2026-11-22T10:23:16Z`: created, updated. */
export function zulu(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

/** `2026-11-22T10:23:16.000000`, without a zone: launched_at, instance actions, services. */
export function micros(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 23)}000`;
}
