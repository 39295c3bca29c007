/** The role `compute`: one agent for each host of this process. */
import { chmodSync, mkdirSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { type Config, ConfigError, parseListen } from '#config/config.ts';
import type { ImageClient } from '#http/image-client.ts';
import { observeCommand } from '#observe/command.ts';
import { type Log, logHop } from '#observe/log.ts';
import { ComputeAgent } from '#services/compute/agent.ts';
import { Backups } from '#services/compute/backups.ts';
import { ChannelServer } from '#services/compute/channel/channel-server.ts';
import type { Driver } from '#services/compute/driver/driver.ts';
import { fakeDriver } from '#services/compute/driver/fake/fake-driver.ts';
import { qemuDriver } from '#services/compute/driver/qemu/qemu-driver.ts';
import { ImageCache } from '#services/compute/image-cache.ts';
import { choosePlane } from '#services/compute/network/choose-plane.ts';
import { hostTag } from '#services/compute/network/names.ts';
import { noPlane } from '#services/compute/network/no-plane.ts';
import type { NetworkPlane } from '#services/compute/network/plane.ts';
import { planeNetwork } from '#services/compute/plane-network.ts';
import { findUser, obstacle, qemuUser } from '#services/compute/qemu-user.ts';
import { SharedBases } from '#services/compute/shared-bases.ts';
import { SharedDisks } from '#services/compute/shared-disks.ts';
import type { LocalImages } from './image-store.ts';
import type { Base } from './role.ts';
import { underlayAddress } from './underlay.ts';

/** Tests hand in drivers of their own. */
export type MakeDriver = (options: { readonly host: string; readonly instancesDir: string }) => Driver;

export interface Host {
  readonly name: string;
  readonly driver: Driver;
  readonly agent: ComputeAgent;
}

/** Makes the agents; nothing is served before each is started. */
export function computeHosts(
  base: Base,
  { images, local, makeDriver }: { images: ImageClient; local: LocalImages; makeDriver?: MakeDriver | undefined },
): Promise<readonly Host[]> {
  return Promise.all(hostNames(base.config).map((name) => host(name, base, images, local, makeDriver)));
}

interface PlaneOfHost {
  readonly name: string;
  /** Folder of the host's own files. */
  readonly home: string;
  /** Whom QEMU runs as; null: root. */
  readonly qemuUid: number | null;
  /** Where tunnels from other hosts end; null: there are none. */
  readonly underlay: string | null;
  readonly log: Log;
}

/** The networks of a host, as far as the machine has what they need. */
async function openPlane(
  { network, hosts, data }: Config,
  { name, home, qemuUid, underlay, log }: PlaneOfHost,
): Promise<NetworkPlane> {
  const dir = join(home, 'network');
  // Their tunnels would meet: each network has one number, and one machine one end of it.
  const want = hosts > 1 ? 'none' : network;
  mkdirSync(dir, { recursive: true });
  // For dnsmasq, which becomes a user of its own.
  for (let each = dir; each.startsWith(data); each = dirname(each)) chmodSync(each, 0o711);
  const observe = (command: string, ms: number, error?: string) =>
    logHop(log, { from: 'nova-compute', to: 'network', what: command, ms, ...(error !== undefined && { error }) });
  const plane = await choosePlane({ want, tag: hostTag(data, name), dir, qemuUid, underlay, observe });
  log.info({ host: name, network: plane.kind, why: plane.why, tunnels: underlay }, 'networks');
  const dnsmasq = plane.kind === 'rooted' ? findUser('dnsmasq') : null;
  const closed = dnsmasq && obstacle(dnsmasq, dir);
  if (closed) log.warn({ folder: closed }, 'guests get no addresses: the user of dnsmasq cannot pass through a folder');
  return plane;
}

/** The name of this machine's only host, and of its processes. */
export function machineName(config: Config): string {
  return config.host_name || hostname();
}

function hostNames(config: Config): string[] {
  const name = machineName(config);
  return config.hosts === 1 ? [name] : Array.from({ length: config.hosts }, (_, index) => `${name}-${index + 1}`);
}

/** Where the disks are; null: beside the guests' other files. It is not made: what is not mounted must not be filled. */
function sharedFolder({ disks_dir }: Config): string | null {
  if (disks_dir === '') return null;
  if (!statSync(disks_dir, { throwIfNoEntry: false })?.isDirectory())
    throw new ConfigError(`disks_dir: ${disks_dir} is no folder; is it mounted?`);
  return resolve(disks_dir);
}

async function host(
  name: string,
  { config, logs, rpc, telemetry }: Base,
  images: ImageClient,
  local: LocalImages,
  makeDriver: MakeDriver | undefined,
): Promise<Host> {
  const log = logs.of('nova-compute');
  const isAlone = config.hosts === 1;
  const home = isAlone ? config.data : join(config.data, 'hosts', name);
  const instancesDir = join(home, 'instances');
  const linkDir = isAlone ? null : join(config.data, 'instances');
  const disksDir = sharedFolder(config);
  for (const each of [instancesDir, linkDir ?? instancesDir]) mkdirSync(each, { recursive: true, mode: 0o700 });
  const observe = (instanceId: string, command: string, ms: number, error?: string) => {
    observeCommand(telemetry, { instanceId, command, ms, failed: error !== undefined });
    logHop(log.child({ instance_id: instanceId }), {
      from: 'nova-compute',
      to: 'qemu',
      what: command,
      ms,
      ...(error !== undefined && { error }),
    });
  };
  const user =
    config.driver === 'fake' || makeDriver
      ? null
      : qemuUser(config.qemu_user, { data: config.data, instancesDir, disksDir, log });
  const underlay = underlayAddress(config);
  const plane =
    makeDriver || config.driver === 'fake'
      ? noPlane('simulated guests have none')
      : await openPlane(config, { name, home, qemuUid: user?.uid ?? null, underlay, log });
  const moveBytesPerSecond = config.move_bandwidth_mib * 2 ** 20;
  const driver =
    makeDriver?.({ host: name, instancesDir }) ??
    (config.driver === 'fake'
      ? fakeDriver({ instancesDir })
      : qemuDriver({
          instancesDir,
          observe,
          log,
          accelerator: config.accelerator,
          moveBytesPerSecond,
          user,
          network: planeNetwork(plane),
        }));
  const staging = local.staging ?? join(home, 'staging');
  const agent = new ComputeAgent({
    host: name,
    availabilityZone: config.availability_zone,
    driver,
    rpc,
    cache: new ImageCache({ dir: join(home, 'image-cache'), images, sharedStore: local.folder }),
    backups: new Backups({ dir: staging, isStaging: local.staging !== null, driver, images }),
    channel: new ChannelServer({
      listen: parseListen(config.agent_listen),
      bytesPerSecond: moveBytesPerSecond,
      log,
    }),
    plane,
    networkAddress: underlay,
    instancesDir,
    linkDir,
    shared: new SharedDisks({ dir: disksDir, host: name }),
    sharedBases: disksDir === null ? null : new SharedBases(disksDir),
    log,
  });
  return { name, driver, agent };
}
