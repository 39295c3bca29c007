/**
 * Makes namespaces as they are wanted: looks what is there, does what is missing, takes away what is too much. May be ended at any point and
 * begun again by another process.
 *
 * What cannot be looked at cheaply (rules, routes, entries of bridges) is remembered once this process has done it, and done again otherwise:
 * each of these is written so that doing it twice is doing it once.
 */
import type { Commands } from './commands.ts';
import type { Dnsmasqs } from './dnsmasq.ts';
import type { Found } from './found.ts';
import type { Cable, Space } from './space.ts';
import { type FoundEntry, neighbourLine, peerLines, strayLines } from './texts/forwarding.ts';
import { type FoundLink, linkChanges } from './texts/links.ts';
import { type FoundRoute, OURS, routeLines } from './texts/routes.ts';
import { dropTable, nftScript, type Ruleset } from './texts/ruleset.ts';

/** What this process has done in a namespace. */
interface Done {
  readonly rules: readonly Ruleset[];
  readonly routes: string;
  readonly neighbours: string;
  readonly peers: string;
}

export class SpaceKeeper {
  readonly #commands: Commands;
  readonly #dnsmasqs: Dnsmasqs;
  /** Whether a device outside of our namespaces is ours. */
  readonly #isOurs: (device: string) => boolean;
  readonly #settings = new Map<string, string>();
  readonly #done = new Map<string, Done>();

  constructor(options: {
    readonly commands: Commands;
    readonly dnsmasqs: Dnsmasqs;
    readonly isOurs: (device: string) => boolean;
  }) {
    this.#commands = options.commands;
    this.#dnsmasqs = options.dnsmasqs;
    this.#isOurs = options.isOurs;
  }

  /** There is a namespace of that name, and it has its settings before it has devices. */
  async makeSpace({ name, settings }: Space, there: Found): Promise<void> {
    if (name === null) return this.#set(null, settings);
    if (!there.spaces.has(name)) {
      this.forget(name);
      await this.#commands.ip(null, [`netns add ${name}`]);
      there.made(name);
    }
    const text = JSON.stringify(settings);
    if (this.#settings.get(name) === text) return;
    await this.#set(name, settings);
    this.#settings.set(name, text);
  }

  /** Its wires and tunnels are there, with both ends where they belong. */
  async connect({ cables }: Space, there: Found): Promise<void> {
    const broken: Cable[] = [];
    for (const cable of cables) {
      const ends = cable.ends.map(async ([space, device]) => hasLink(await there.links(space), device));
      if ((await Promise.all(ends)).includes(false)) broken.push(cable);
    }
    for (const [space, device] of broken.flatMap(({ ends }) => ends)) {
      // What is left of a wire, whose other end may be on its way out with its namespace.
      if (hasLink(await there.links(space), device)) await this.#commands.ipIfThere(space, [`link del ${device}`]);
    }
    for (const [space] of broken.flatMap(({ ends }) => ends)) there.changed(space);
    await this.#commands.ip(
      null,
      broken.map(({ make }) => make),
    );
  }

  /** Everything else. Throws with what is missing where a device should have come from elsewhere. */
  async fill(space: Space, there: Found): Promise<void> {
    const { name } = space;
    const key = name ?? '';
    const before = this.#done.get(key);
    const found = await there.links(name);
    const { remove, lines, missing } = linkChanges(space.links, found, name === null ? this.#isOurs : () => true);
    // What is done from here on is known only once all of it is.
    this.#done.delete(key);
    await this.#commands.ipIfThere(
      name,
      remove.map((device) => `link del ${device}`),
    );
    // No device is up before it is guarded.
    await this.#rules(space, before?.rules);
    const lo = name !== null && !isUp(found, 'lo') ? ['link set lo up'] : [];
    await this.#commands.ip(name, [...lo, ...lines]);
    const known = lo.length + lines.length + remove.length > 0 ? undefined : before;
    const routes = JSON.stringify(space.routes);
    if (known?.routes !== routes) await this.#routes(space);
    const neighbours = this.#neighbours(space, found);
    if (known?.neighbours !== neighbours.join()) await this.#commands.bridge(name, neighbours);
    const peers = JSON.stringify(space.tunnel);
    if (known?.peers !== peers) await this.#peers(space);
    if (name !== null) await this.#dnsmasqs.ensure(name, space.dnsmasq);
    if (missing.length > 0) throw new Error(`missing: ${missing.join(', ')}`);
    this.#done.set(key, { rules: space.rules, routes, neighbours: neighbours.join(), peers });
  }

  /** The namespace is gone with all that is in it. */
  async removeSpace(name: string, there: Found): Promise<void> {
    this.forget(name);
    await this.#dnsmasqs.remove(name);
    await this.#commands.ip(null, [`netns del ${name}`]);
    there.gone(name);
  }

  /** The next time everything in the namespace is done again. */
  forget(name: string): void {
    this.#settings.delete(name);
    this.#done.delete(name);
  }

  async #set(name: string | null, settings: Space['settings']): Promise<void> {
    const lines = Object.entries(settings).map(([path, value]) => `echo ${value} > /proc/sys/${path}`);
    if (lines.length > 0) await this.#commands.run(name, ['sh', '-es'], `${lines.join('\n')}\n`);
  }

  async #rules({ name, rules, noRules }: Space, before: readonly Ruleset[] | undefined): Promise<void> {
    // Outside, others may have removed them: whoever reloads the machine's rules does.
    const known = name === null ? undefined : before;
    const scripts = rules.map((each, index) => nftScript(each, known?.[index] ?? null) ?? '');
    await this.#commands.nft(name, [...(known ? [] : noRules.map(dropTable)), ...scripts].join(''));
  }

  async #routes({ name, routes }: Space): Promise<void> {
    if (name === null) return;
    const found: FoundRoute[] = [];
    for (const family of ['-4', '-6']) {
      const text = await this.#commands.run(name, ['ip', '-json', family, 'route', 'show', ...OURS.split(' ')]);
      // Its own format.
      if (text.trim() !== '') found.push(...(JSON.parse(text) as FoundRoute[]));
    }
    await this.#commands.ip(name, routeLines(routes, found));
  }

  /** Taps that were not there a moment ago are told of when they are attached. */
  #neighbours({ neighbours }: Space, found: readonly FoundLink[]): string[] {
    const there = new Set(found.map(({ ifname }) => ifname));
    return neighbours.filter(({ device }) => there.has(device)).map(neighbourLine);
  }

  async #peers({ name, tunnel }: Space): Promise<void> {
    if (!tunnel) return;
    const text = await this.#commands.run(name, ['bridge', '-json', 'fdb', 'show', 'dev', tunnel.device]);
    // Its own format.
    const found = text.trim() === '' ? [] : (JSON.parse(text) as FoundEntry[]);
    await this.#commands.bridge(name, peerLines(tunnel.device, tunnel.peers, found));
    await this.#commands.bridgeIfThere(name, strayLines(tunnel.device, tunnel.peers, found));
  }
}

function hasLink(links: readonly FoundLink[], name: string): boolean {
  return links.some(({ ifname }) => ifname === name);
}

function isUp(links: readonly FoundLink[], name: string): boolean {
  return links.find(({ ifname }) => ifname === name)?.flags?.includes('UP') ?? false;
}
