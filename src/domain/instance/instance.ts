/** Small facts about servers that more than one role needs. */

/** Why a server is in ERROR, as its owner sees it. `created` is epoch ms. */
export interface Fault {
  readonly code: number;
  readonly message: string;
  readonly created: number;
}

/**
 * A name as a hostname, by Nova's rules: lower case, spaces and underscores to dashes, the rest dropped.
 * Nothing left: `server-<id>`.
 */
export function hostnameOf(name: string, id: string): string {
  const hostname = name
    .toLowerCase()
    .replace(/[ _]/g, '-')
    .replace(/[^a-z0-9.-]/g, '')
    .replace(/^[.-]+|[.-]+$/g, '')
    .slice(0, 63)
    .replace(/[.-]+$/, '');
  return hostname === '' ? `server-${id}` : hostname;
}
