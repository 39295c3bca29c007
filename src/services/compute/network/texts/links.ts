/**
 * Devices of one namespace: what is wanted, what is there, and the lines for `ip -batch` between the two. Pure.
 */

export interface Link {
  readonly name: string;
  /** Made here where it is missing; `given`: it comes from elsewhere (a cable, a tunnel, a tap). */
  readonly origin: 'bridge' | 'given';
  /** A tap is there while its guest is. */
  readonly optional?: boolean;
  readonly mac?: string;
  readonly mtu?: number;
  readonly master?: string;
  /** Of a bridge's port: whether it gets what is for nobody known, and whether the bridge learns who is behind it. */
  readonly floods?: boolean;
  /** Of a bridge's port: whether it reaches others of the same kind. */
  readonly isolated?: boolean;
  readonly up: boolean;
  /** With prefix. */
  readonly addresses: readonly string[];
}

/** Of `ip -json -details address show`, as far as we look. */
export interface FoundLink {
  readonly ifname: string;
  readonly address?: string;
  readonly mtu?: number;
  readonly master?: string;
  readonly flags?: readonly string[];
  readonly linkinfo?: {
    readonly info_slave_data?: { readonly flood?: boolean; readonly learning?: boolean; readonly isolated?: boolean };
  };
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number; readonly scope?: string }[];
}

export interface LinkChanges {
  /** Devices that go. */
  readonly remove: readonly string[];
  readonly lines: readonly string[];
  /** Neither there nor ours to make here. */
  readonly missing: readonly string[];
}

/** `isOurs`: whether a device that is not wanted may be removed. */
export function linkChanges(
  wanted: readonly Link[],
  found: readonly FoundLink[],
  isOurs: (name: string) => boolean,
): LinkChanges {
  const byName = new Map(found.map((link) => [link.ifname, link]));
  const names = new Set(wanted.map(({ name }) => name));
  const absent = (link: Link) => link.origin === 'given' && !byName.has(link.name);
  return {
    remove: found.map(({ ifname }) => ifname).filter((name) => name !== 'lo' && !names.has(name) && isOurs(name)),
    missing: wanted.filter((link) => absent(link) && !link.optional).map(({ name }) => name),
    lines: wanted.filter((link) => !absent(link)).flatMap((link) => linesFor(link, byName.get(link.name))),
  };
}

/** What makes one device as wanted. */
export function linesFor(link: Link, found: FoundLink | undefined): string[] {
  const { name, mac, mtu, master, floods, isolated, up } = link;
  const there = (found?.addr_info ?? [])
    .filter(({ scope }) => scope === 'global')
    .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
  const slave = found?.linkinfo?.info_slave_data;
  const onOff = (value: boolean) => (value ? 'on' : 'off');
  const joined = found?.master === master;
  const flags = [
    ...(floods !== undefined && !(joined && slave?.flood === floods && slave.learning === floods)
      ? [`flood ${onOff(floods)} learning ${onOff(floods)}`]
      : []),
    ...(isolated !== undefined && !(joined && slave?.isolated === isolated) ? [`isolated ${onOff(isolated)}`] : []),
  ];
  return [
    ...(found ? [] : [`link add name ${name} type bridge stp_state 0 forward_delay 0`]),
    ...(mac !== undefined && found?.address !== mac ? [`link set ${name} address ${mac}`] : []),
    ...(mtu !== undefined && found?.mtu !== mtu ? [`link set ${name} mtu ${mtu}`] : []),
    ...(master !== undefined && !joined ? [`link set ${name} master ${master}`] : []),
    ...(flags.length > 0 ? [`link set ${name} type bridge_slave ${flags.join(' ')}`] : []),
    ...there
      .filter((address) => !link.addresses.includes(address))
      .map((address) => `address del ${address} dev ${name}`),
    ...link.addresses
      .filter((address) => !there.includes(address))
      .map((address) => `address add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`),
    ...((found?.flags?.includes('UP') ?? false) !== up ? [`link set ${name} ${up ? 'up' : 'down'}`] : []),
  ];
}
