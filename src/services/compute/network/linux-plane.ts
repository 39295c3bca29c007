/**
 * The network plane of Linux: namespaces, bridges, taps, nftables and dnsmasq, on the machine itself or in a user namespace (`base.ts`).
 *
 * Everything is found again by its name. On disk are the ports' numbers (`identities.ts`), and files that dnsmasq reads.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import type { Server } from 'node:net';
import { join } from 'node:path';
import type { HostNetwork, NetworkPlan, PortPlan } from '#contracts/host-network.ts';
import { unlinkIfThere } from '../driver/guest-files.ts';
import { KeyedLock } from '../driver/keyed-lock.ts';
import { familyOf } from './addresses.ts';
import type { Base } from './base.ts';
import { COMMAND_FILE, type Commands } from './commands.ts';
import { Dnsmasqs } from './dnsmasq.ts';
import { ForwardTable } from './forward-table.ts';
import { Found } from './found.ts';
import { Identities } from './identities.ts';
import { type Names, tapName } from './names.ts';
import { NetworkError } from './network-error.ts';
import { networkHolder, networkSpace, portHolder, type Surroundings, tap } from './network-space.ts';
import { outsideSpace } from './outside-space.ts';
import type { Forward, NetworkPlane } from './plane.ts';
import { rangeConflicts } from './range-conflicts.ts';
import { routerSpace } from './router-space.ts';
import type { Space } from './space.ts';
import { SpaceKeeper } from './space-keeper.ts';
import { neighbourLine } from './texts/forwarding.ts';
import { welcome } from './texts/group-rules.ts';
import { linesFor } from './texts/links.ts';

export interface LinuxPlaneOptions extends Omit<Surroundings, 'identities'> {
  readonly base: Base;
  readonly commands: Commands;
  /** Of our own; dnsmasq's user must be able to pass through. */
  readonly dir: string;
  /** Whom dnsmasq becomes; null: nobody else. */
  readonly dnsmasqUser: string | null;
  /** Ports of floating IPs that are led to from the machine's loopback, where the base has to. */
  readonly forwardPorts: readonly number[];
}

const NOTHING: HostNetwork = { networks: [], groups: [], routers: [] };

export class LinuxPlane implements NetworkPlane {
  readonly kind: 'rooted' | 'rootless';
  readonly #options: LinuxPlaneOptions;
  readonly #base: Base;
  readonly #commands: Commands;
  readonly #names: Names;
  readonly #dnsmasqs: Dnsmasqs;
  readonly #keeper: SpaceKeeper;
  readonly #lock = new KeyedLock();
  readonly #hasNetwork = Promise.withResolvers<void>();
  #identities: Identities | null = null;
  #forwards: ForwardTable | null = null;
  /** Ports whose taps this process has made, and not yet brought to their networks. */
  readonly #fresh = new Set<string>();
  #plan: HostNetwork = NOTHING;
  #conflicts: readonly string[] = [];

  constructor(options: LinuxPlaneOptions) {
    const { base, commands, dir, names, dnsmasqUser: user } = options;
    this.kind = base.kind;
    this.#options = options;
    this.#base = base;
    this.#commands = commands;
    this.#names = names;
    this.#dnsmasqs = new Dnsmasqs({ dir, commands, user });
    this.#keeper = new SpaceKeeper({ commands, dnsmasqs: this.#dnsmasqs, isOurs: names.isOurs });
  }

  get why(): string {
    return this.#base.why;
  }

  recover(): Promise<void> {
    return this.#alone(async () => {
      const { dir, names, forwardPorts } = this.#options;
      await mkdir(dir, { recursive: true, mode: 0o711 });
      for (const name of await readdir(dir)) if (COMMAND_FILE.test(name)) await unlinkIfThere(join(dir, name));
      await this.#base.start();
      this.#identities = await Identities.open(join(dir, 'identities.json'), names.tag, () => this.#addresses());
      const range = this.#base.forwarded;
      if (range) this.#forwards = await ForwardTable.open(dir, { range, ports: forwardPorts });
      await this.#dnsmasqs.recover();
    });
  }

  async enter(): Promise<readonly string[]> {
    await this.#alone(() => this.#makeGuestsSpace());
    return this.#base.enter(this.#names.guests);
  }

  apply(plan: HostNetwork): Promise<void> {
    return this.#alone(async () => {
      const problems: string[] = [];
      await this.#make(plan, async (what, work) => {
        try {
          await work();
        } catch (error) {
          problems.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
        }
      });
      if (plan.networks.length > 0) this.#hasNetwork.resolve();
      // What failed may have left rules that have the number of somebody who is not in the plan.
      if (problems.length > 0) throw new NetworkError(problems);
      await this.#known().keepOnly(holdersOf(plan));
    });
  }

  tapFor(portId: string): Promise<string> {
    return this.#alone(async () => {
      this.#find(portId);
      const name = tapName(portId);
      await this.#makeGuestsSpace();
      await this.#dropTap(portId);
      const owner = this.#base.tapOwner === null ? '' : ` user ${this.#base.tapOwner}`;
      await this.#commands.ip(this.#names.guests, [`tuntap add dev ${name} mode tap${owner}`]);
      this.#fresh.add(portId);
      return name;
    });
  }

  attach(portId: string, { arrived = false }: { readonly arrived?: boolean } = {}): Promise<void> {
    return this.#alone(async () => {
      const { network, port } = this.#find(portId);
      const space = this.#names.network(network.id);
      const name = tapName(portId);
      const wanted = tap(network, port);
      const there = this.#fresh.delete(portId) ? [] : await this.#commands.links(space);
      let found = there.find(({ ifname }) => ifname === name);
      if (!found) {
        await this.#commands.ip(this.#names.guests, [`link set ${name} netns ${space}`]);
        found = { ifname: name };
      }
      await this.#commands.ip(space, linesFor(wanted, found));
      if (arrived && port.groups !== null)
        await this.#commands.nft(space, welcome(this.#known().numberOf(portHolder(portId)), this.#options.tracking));
      const guarded = port.groups === null ? [] : [port.mac, ...port.allowedPairs.map(({ mac }) => mac)];
      await this.#commands.bridge(
        space,
        [...new Set(guarded)].map((mac) => neighbourLine({ mac, device: name })),
      );
    });
  }

  detach(portId: string): Promise<void> {
    return this.#alone(() => this.#dropTap(portId));
  }

  identityOf(address: string): string | null {
    const holder = this.#identities?.holderOf(address) ?? null;
    const prefix = portHolder('');
    return holder?.startsWith(prefix) ? holder.slice(prefix.length) : null;
  }

  async metadataServer(): Promise<Server> {
    await this.#hasNetwork.promise;
    return this.#base.listen(this.#known().service, this.#options.metadataPort);
  }

  conflicts(): readonly string[] {
    return this.#conflicts;
  }

  forwards(): readonly Forward[] {
    return this.#forwards?.forwards ?? [];
  }

  close(): Promise<void> {
    return this.#alone(() => this.#commands.close());
  }

  async remove(): Promise<void> {
    if (!this.#identities) await this.recover();
    await this.apply(NOTHING);
    await this.#alone(async () => {
      if ((await this.#commands.spaces()).includes(this.#names.guests))
        await this.#commands.ip(null, [`netns del ${this.#names.guests}`]);
      await this.#base.stop();
      await this.#commands.close();
      await rm(this.#options.dir, { recursive: true, force: true });
    });
  }

  async #make(plan: HostNetwork, attempt: (what: string, work: () => Promise<void>) => Promise<void>): Promise<void> {
    const identities = this.#known();
    await this.#base.start();
    await identities.add(holdersOf(plan));
    const floating = plan.routers.flatMap(({ floatingIps }) => floatingIps.map(({ address }) => address));
    await this.#forwards?.keep(floating);
    this.#plan = plan;
    const around: Surroundings = { ...this.#options, identities };
    const spaces: Space[] = [];
    const collect = (what: string, make: () => Space) => attempt(what, async () => void spaces.push(make()));
    for (const network of plan.networks)
      await collect(`network ${network.id}`, () => networkSpace(network, plan, around));
    for (const router of plan.routers)
      await collect(`router ${router.id}`, () => routerSpace(router, plan.networks, this.#names));
    const there = await Found.look(this.#commands);
    this.#conflicts = await this.#findConflicts(plan, there);
    await this.#removeOthers(wantedNames(plan, this.#names), there, attempt);
    const good = new Set(spaces);
    const each = async (step: (space: Space) => Promise<void>) => {
      for (const space of [...good])
        await attempt(space.what, async () => {
          // What has failed at one step is not taken further.
          good.delete(space);
          await step(space);
          good.add(space);
        });
    };
    await each((space) => this.#keeper.makeSpace(space, there));
    await each((space) => this.#keeper.connect(space, there));
    const outside = outsideSpace(plan, around, this.forwards());
    await attempt(outside.what, async () => {
      await this.#keeper.makeSpace(outside, there);
      await this.#keeper.fill(outside, there);
    });
    await each((space) => this.#keeper.fill(space, there));
  }

  /** Only where external networks are on the machine itself. */
  async #findConflicts({ networks }: HostNetwork, there: Found): Promise<string[]> {
    if (this.kind === 'rootless' || this.#options.externalBridge !== null) return [];
    const ranges = networks
      .filter(({ external }) => external)
      .flatMap(({ subnets }) => subnets.map(({ cidr }) => cidr));
    const four = ranges.filter((cidr) => familyOf(cidr) === 4);
    return four.length === 0 ? [] : rangeConflicts(four, await there.links(null), this.#names.isOurs);
  }

  /** Namespaces of ours that are not wanted; that of guests stays, for the next one, as long as there is a plane. */
  async #removeOthers(
    wanted: ReadonlySet<string>,
    there: Found,
    attempt: (what: string, work: () => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const { prefix, guests } = this.#names;
    const ours = [...there.spaces].filter((name) => name.startsWith(prefix) && name !== guests && !wanted.has(name));
    for (const name of ours) await attempt(name, () => this.#keeper.removeSpace(name, there));
    for (const name of await this.#dnsmasqs.spaces())
      if (!wanted.has(name)) await attempt(name, () => this.#dnsmasqs.remove(name));
  }

  async #makeGuestsSpace(): Promise<void> {
    const { guests } = this.#names;
    if (!(await this.#commands.spaces()).includes(guests)) await this.#commands.ip(null, [`netns add ${guests}`]);
  }

  async #dropTap(portId: string): Promise<void> {
    this.#fresh.delete(portId);
    const name = tapName(portId);
    const network = this.#plan.networks.find(({ ports }) => ports.some(({ id }) => id === portId));
    const existing = await this.#commands.spaces();
    const places = [this.#names.guests, ...(network ? [this.#names.network(network.id)] : [])];
    for (const place of places)
      if (existing.includes(place)) await this.#commands.ipIfThere(place, [`link del ${name}`]);
  }

  #find(portId: string): { network: NetworkPlan; port: PortPlan } {
    for (const network of this.#plan.networks)
      for (const port of network.ports) if (port.id === portId) return { network, port };
    throw new NetworkError([`port ${portId} is in no network of this host`]);
  }

  /** What the machine has and can reach, for a range that is neither. */
  async #addresses(): Promise<string[]> {
    const routes = await this.#commands.run(null, ['ip', '-json', '-4', 'route', 'show', 'table', 'all']);
    // Its own format.
    const found = routes.trim() === '' ? [] : (JSON.parse(routes) as { dst: string }[]);
    return found
      .map(({ dst }) => dst)
      .filter((dst) => /^[0-9.]+(\/\d+)?$/.test(dst))
      .map((dst) => (dst.includes('/') ? dst : `${dst}/32`));
  }

  #known(): Identities {
    if (!this.#identities) throw new NetworkError(['the network was not taken over yet']);
    return this.#identities;
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#lock.run('plane', work);
  }
}

function holdersOf({ networks }: HostNetwork): Set<string> {
  return new Set(networks.flatMap(({ id, ports }) => [networkHolder(id), ...ports.map((port) => portHolder(port.id))]));
}

/** Also of what cannot be made: nobody shall lose what he has by a plan that is wrong. */
function wantedNames({ networks, routers }: HostNetwork, names: Names): Set<string> {
  return new Set([...networks.map(({ id }) => names.network(id)), ...routers.map(({ id }) => names.router(id))]);
}
