/** Which plane this machine can have: tried out, not guessed. */
import { mkdir } from 'node:fs/promises';
import { findUser } from '../qemu-user.ts';
import type { Base } from './base.ts';
import { type CommandObserver, Commands } from './commands.ts';
import { LinuxPlane } from './linux-plane.ts';
import { namesOf } from './names.ts';
import { noPlane } from './no-plane.ts';
import type { NetworkPlane } from './plane.ts';
import { probe, requirePrograms } from './probe.ts';
import { resolversOf } from './resolvers.ts';
import { rootedBase } from './rooted.ts';
import { rootlessBase } from './rootless.ts';

export interface ChooseOptions {
  /** `auto`: rooted for root, rootless for others. What is asked for by name and does not work is no network either: see `why`. */
  readonly want: 'auto' | 'rooted' | 'rootless' | 'none';
  /** 1 to 5 small letters or digits that no other cloud or host on this machine has; see `tagOf`. */
  readonly tag: string;
  /** A folder of its own, which is made; all may have to pass through those above it. Not below /run where the plane is rootless. */
  readonly dir: string;
  /** User id that QEMU runs as when this is root; null: root. */
  readonly qemuUid: number | null;
  readonly observe?: CommandObserver;
  /** The address at which tunnels of other hosts end, and from which ours go there; null (default) where the kernel may choose. */
  readonly underlay?: string | null;
  /** A bridge of the machine that external networks are joined to, instead of the machine being their gateway. */
  readonly externalBridge?: string | null;
  /** Rootless: first and last port of 127.0.0.1 for floating IPs, and which of their ports are led to. */
  readonly forwarded?: readonly [number, number];
  readonly forwardPorts?: readonly number[];
}

/** The same on all hosts of a cloud. */
const VXLAN_PORT = 4789;
/** Nova's own. */
const METADATA_PORT = 8775;
const FORWARDED = [20_000, 20_191] as const;
/** SSH and the web's. */
const FORWARD_PORTS = [22, 80, 443];

/** Never rejects: where nothing works, the plane is of the kind `none` and says why. */
export async function choosePlane(options: ChooseOptions): Promise<NetworkPlane> {
  const { want } = options;
  if (want === 'none') return noPlane('no network is asked for');
  const isRoot = process.geteuid?.() === 0;
  const kind = want === 'auto' ? (isRoot ? 'rooted' : 'rootless') : want;
  if (process.platform !== 'linux') return noPlane('networks need Linux');
  if (kind === 'rooted' && !isRoot) return noPlane('a rooted network needs root');
  if (kind === 'rootless' && isRoot) return noPlane('a rootless network is for ordinary users');
  try {
    return await open(options, kind);
  } catch (error) {
    return noPlane(error instanceof Error ? error.message : String(error));
  }
}

async function open(options: ChooseOptions, kind: 'rooted' | 'rootless'): Promise<NetworkPlane> {
  const { dir, tag, qemuUid, forwarded = FORWARDED, observe = () => undefined } = options;
  const names = namesOf(tag);
  await mkdir(dir, { recursive: true, mode: 0o711 });
  let base: Base;
  const commands = new Commands({ dir, outside: () => base.outside(), spacesDir: () => base.spacesDir(), observe });
  base =
    kind === 'rooted'
      ? rootedBase({ why: 'root: networks are namespaces of this machine', qemuUid })
      : rootlessBase({ why: 'an ordinary user: networks are in a user namespace', dir, forwarded }, () => commands);
  try {
    await requirePrograms(commands, kind);
    await base.start();
    const tracking = await probe(commands, `${names.prefix}try`);
    return new LinuxPlane({
      base,
      commands,
      dir,
      names,
      tracking,
      dnsmasqUser: kind === 'rooted' && findUser('dnsmasq') ? 'dnsmasq' : null,
      metadataPort: METADATA_PORT,
      resolvers: await resolversOf(),
      underlay: { address: options.underlay ?? null, port: VXLAN_PORT },
      externalBridge: options.externalBridge ?? null,
      forwardPorts: options.forwardPorts ?? FORWARD_PORTS,
    });
  } catch (error) {
    // Where guests have networks from an earlier start, this may pass; where nobody has, nothing stays.
    const hasSpaces = await commands.spaces().then(
      (found) => found.some((name) => name.startsWith(names.prefix)),
      () => false,
    );
    if (!hasSpaces) await base.stop();
    await commands.close();
    throw error;
  }
}
