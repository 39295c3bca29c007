/** Small facts about servers that more than one role needs. */
import type { FlavorSnapshot } from './flavor.ts';

/** Why a server is in ERROR, as its owner sees it. `created` is epoch ms. */
export interface Fault {
  readonly code: number;
  readonly message: string;
  readonly created: number;
}

/** Facts of a server that an operation may change together with its guest: a rebuild, a resize. */
export interface ServerChanges {
  readonly flavor?: FlavorSnapshot;
  readonly imageId?: string;
  readonly imageProperties?: Readonly<Record<string, string>>;
  readonly name?: string;
  readonly hostname?: string;
  readonly description?: string | null;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly keyName?: string | null;
  readonly publicKey?: string | null;
  readonly userData?: string | null;
  readonly diskConfig?: 'AUTO' | 'MANUAL';
  readonly accessIpV4?: string;
  readonly accessIpV6?: string;
}

/** What an image says of itself (`hw_qemu_guest_agent`): a guest with an agent can be asked to freeze its file systems. */
export function hasGuestAgent(imageProperties: Readonly<Record<string, string>>): boolean {
  return /^(yes|true|1|on)$/i.test(imageProperties.hw_qemu_guest_agent ?? '');
}

/** Whether a copy of the disk is only wanted with its file systems frozen (`os_require_quiesce`). */
export function requiresQuiesce(imageProperties: Readonly<Record<string, string>>): boolean {
  return /^(yes|true|1|on)$/i.test(imageProperties.os_require_quiesce ?? '');
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
