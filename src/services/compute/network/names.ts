/**
 * What everything of a plane is called. A tag tells the plane's things from those of another cloud, or another host of the same, on one
 * machine; whatever has it is ours to remove.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';

const TAG = /^[a-z0-9]{1,5}$/;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** A tag for anything that tells one plane from all others on a machine, such as the path of its data. */
export function tagOf(text: string): string {
  return BigInt(`0x${digest(text)}`)
    .toString(36)
    .slice(0, 5);
}

/** That of a host's plane: of several on one machine each has its own. `data`: the folder of everything that its process keeps. */
export function hostTag(data: string, host: string): string {
  return tagOf(`${resolve(data)} ${host}`);
}

/** Twelve hexadecimal digits for an id: the first of a UUID, for people to recognise it. */
export function short(id: string): string {
  return UUID.test(id) ? id.replaceAll('-', '').slice(0, 12) : digest(id).slice(0, 12);
}

/** A MAC address that is nobody else's and the same on every host: locally administered. */
export function macOf(what: string): string {
  return `02:${(digest(what).slice(0, 10).match(/../g) ?? []).join(':')}`;
}

/** Of a port's tap, wherever it is. */
export const tapName = (portId: string) => `t${short(portId)}`;
/** Of a router's port: its end in the network … */
export const plugName = (portId: string) => `r${short(portId)}`;
/** … and in the router. */
export const routerName = (portId: string) => `i${short(portId)}`;

/** Names inside of a network's namespace. */
export const BRIDGE = 'br0';
export const META = 'meta';
export const TUNNEL = 'vx';
/** Of an external network: the way to the host. */
export const UPLINK = 'uplink';
/** Of the one table of each namespace of ours. */
export const TABLE = 'mn';

export interface Names {
  readonly tag: string;
  /** What the names of all our namespaces begin with. */
  readonly prefix: string;
  /** Where QEMU runs. */
  readonly guests: string;
  network(id: string): string;
  router(id: string): string;
  /** Outside of namespaces of ours: the bridge that the metadata service is on … */
  readonly metaBridge: string;
  /** … a network's end there … */
  meta(networkId: string): string;
  /** … and an external network's way out. */
  external(networkId: string): string;
  /** All of these, as nftables matches them. */
  readonly anyExternal: string;
  /** Whether a device outside is ours. */
  isOurs(device: string): boolean;
  /** Of the rules outside. */
  readonly table: string;
}

/** Throws `RangeError` for anything that is no tag: 1 to 5 letters or digits. */
export function namesOf(tag: string): Names {
  if (!TAG.test(tag)) throw new RangeError(`tag ${JSON.stringify(tag)}: 1 to 5 small letters or digits needed`);
  const prefix = `mn-${tag}-`;
  // A device has 15 characters at most.
  const device = (kind: string, id: string) => `mn${tag}${kind}${digest(id).slice(0, 7)}`;
  const metaBridge = `mn${tag}meta`;
  const ours = new RegExp(`^mn${tag}([mx][0-9a-f]{7}|meta)$`);
  return {
    tag,
    prefix,
    guests: `${prefix}vm`,
    network: (id) => `${prefix}n-${short(id)}`,
    router: (id) => `${prefix}r-${short(id)}`,
    metaBridge,
    meta: (id) => device('m', id),
    external: (id) => device('x', id),
    anyExternal: `mn${tag}x*`,
    isOurs: (name) => ours.test(name),
    table: `mn-${tag}`,
  };
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
