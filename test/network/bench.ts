/**
 * Planes to try things on, with namespaces as guests: a guest is what is behind a port's device, and a shell in a namespace sends whatever
 * a real one can. What needs a QEMU is in `real-guest.test.ts`.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostNetwork } from '#contracts/host-network.ts';
import type { Base } from '#services/compute/network/base.ts';
import { Commands } from '#services/compute/network/commands.ts';
import { LinuxPlane } from '#services/compute/network/linux-plane.ts';
import { namesOf, tapName } from '#services/compute/network/names.ts';
import { rootedBase } from '#services/compute/network/rooted.ts';
import { rootlessBase } from '#services/compute/network/rootless.ts';
import { eventually } from '../eventually.ts';
import { asNobody, NOBODY } from '../ordinary-user.ts';

export type Kind = 'rooted' | 'rootless';

/** Files of a plane that has nothing to do; the last two are of this bench. */
const KEPT = ['identities.json', 'forwards.json', 'holder.json', 'pasta.pid', 'base.log', 'tun', 'guests.log'];

export interface BenchOptions {
  readonly kind?: Kind;
  readonly tag?: string;
  readonly dir?: string;
  /** Hears of every command before it is run. */
  readonly before?: (command: string) => void;
  /** Another namespace than the machine's. */
  readonly within?: readonly string[];
  readonly underlay?: string | null;
  /** Whom QEMU runs as where the plane is rooted. */
  readonly qemuUid?: number | null;
}

/** Not that of clouds, which may be on the machine. */
export const TUNNEL_PORT = 4799;

/** A plane and guests for it. Everything is gone with it. */
export class Bench {
  readonly plane: LinuxPlane;
  readonly commands: Commands;
  readonly tag: string;
  readonly dir: string;
  readonly said: string[] = [];
  readonly #guests: Guest[] = [];
  #files: string | undefined;

  constructor(options: BenchOptions = {}) {
    const { kind = 'rooted', tag = freeTag(), within = [], underlay = null, qemuUid = null } = options;
    this.tag = tag;
    this.dir = options.dir ?? mkdtempSync(join(tmpdir(), 'micronova-network-'));
    chmodSync(this.dir, 0o711);
    let base: Base;
    const commands = new Commands({
      dir: this.dir,
      outside: () => base.outside(),
      spacesDir: () => base.spacesDir(),
      observe: (command, _ms, error) => this.said.push(error === undefined ? command : `${command}: ${error}`),
      before: (command) => {
        options.before?.(command);
        if (kind === 'rootless') lend(this.dir);
      },
    });
    this.commands = commands;
    base =
      kind === 'rooted'
        ? rootedBase({ why: 'a test', qemuUid, within })
        : rootlessBase(
            { why: 'a test', dir: this.dir, forwarded: [21_000, 21_063], within: asNobody(this.dir) },
            () => commands,
          );
    this.plane = new LinuxPlane({
      base,
      commands,
      dir: this.dir,
      names: namesOf(tag),
      dnsmasqUser: kind === 'rooted' ? 'dnsmasq' : null,
      forwardPorts: [22, 80],
      tracking: 'inet',
      metadataPort: 8775,
      resolvers: [],
      underlay: { address: underlay, port: TUNNEL_PORT },
      externalBridge: null,
    });
  }

  static async open(options: BenchOptions = {}): Promise<Bench> {
    const bench = new Bench(options);
    await bench.plane.recover();
    return bench;
  }

  /** A folder for what guests read and write. Made when it is needed: one that is to be killed has no guests, and removes nothing. */
  get files(): string {
    if (this.#files === undefined) {
      this.#files = mkdtempSync(join(tmpdir(), 'micronova-guests-'));
      chmodSync(this.#files, 0o711);
    }
    return this.#files;
  }

  /** A guest behind a port of the plan. */
  async guest(plan: HostNetwork, portId: string): Promise<Guest> {
    const port = plan.networks.flatMap(({ ports }) => ports).find(({ id }) => id === portId);
    if (!port) throw new Error(`no port ${portId}`);
    await this.plane.enter();
    const space = `g${this.tag}${this.#guests.length}`;
    const { guests } = namesOf(this.tag);
    await this.commands.ip(null, [
      `netns add ${space}`,
      `link add ${tapName(portId)} netns ${guests} type veth peer name eth0 netns ${space} address ${port.mac}`,
    ]);
    await this.commands.ip(space, ['link set lo up', 'link set eth0 up']);
    await this.plane.attach(portId);
    const guest = new Guest(
      this,
      space,
      port.addresses.map(({ address }) => address),
    );
    this.#guests.push(guest);
    return guest;
  }

  /** What is on the machine of this plane, one line for each; empty when there is nothing. */
  async traces(): Promise<string[]> {
    const { prefix, isOurs, table } = namesOf(this.tag);
    const spaces = (await this.commands.spaces()).filter((name) => name.startsWith(prefix));
    const devices = (await this.commands.links(null)).map(({ ifname }) => ifname).filter(isOurs);
    const tables = (await this.outside('nft', 'list', 'tables'))
      .split('\n')
      .filter((line) => line.endsWith(` ${table}`));
    const processes = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(`--conf-file=${this.dir}/`));
    const files = readdirSync(this.dir).filter((name) => !KEPT.includes(name));
    return [...spaces, ...devices, ...tables, ...processes, ...files];
  }

  /** Runs a command outside of the namespaces: on the machine, or on what is one for the plane. */
  outside(...argv: readonly string[]): Promise<string> {
    return this.commands.run(null, argv);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const guest of this.#guests) await guest.remove();
    await this.plane.remove();
    for (const each of [this.dir, this.#files]) if (each) rmSync(each, { recursive: true, force: true });
  }
}

/** A namespace with a card `eth0`. */
export class Guest {
  readonly space: string;
  readonly addresses: readonly string[];
  readonly #bench: Bench;
  #files = 0;

  constructor(bench: Bench, space: string, addresses: readonly string[]) {
    this.#bench = bench;
    this.space = space;
    this.addresses = addresses;
  }

  /** What a command prints; rejects when it fails. */
  run(command: string): Promise<string> {
    return this.#bench.commands.run(this.space, ['sh', '-c', command]);
  }

  /** Whether a command ends well. */
  async succeeds(command: string): Promise<boolean> {
    return this.run(command).then(
      () => true,
      () => false,
    );
  }

  /** Asks for an address; answers what the server said, as udhcpc has it in its environment. */
  async dhcp(): Promise<Readonly<Record<string, string>>> {
    const script = new URL('./dhcp-client.sh', import.meta.url).pathname;
    const text = await this.run(`busybox udhcpc -i eth0 -n -q -f -t 5 -T 1 -A 1 -O 26 -O 121 -s ${script}`);
    return Object.fromEntries(
      text.split('\n').flatMap((line) => {
        const [, name, value] = /^DHCP_(\w+)=(.*)$/.exec(line) ?? [];
        return name === undefined ? [] : [[name, value ?? '']];
      }),
    );
  }

  /** Sets address and way out by hand. */
  async configure(prefix: number, gateway?: string): Promise<void> {
    const [address] = this.addresses;
    await this.run(`ip addr add ${address}/${prefix} dev eth0`);
    if (gateway) await this.run(`ip route add default via ${gateway}`);
  }

  /** Answers every TCP connection with a line, and with what it is sent. */
  async serve(port: number, line: string): Promise<void> {
    await this.#start(`exec socat TCP6-LISTEN:${port},fork,reuseaddr SYSTEM:'echo ${line}; cat'`);
    await eventually(`a server at ${port}`, () => this.succeeds(`ss -Hltn 'sport = ${port}' | grep -q .`));
  }

  /** The first line of who answers at a TCP port; null: nobody does within a second. */
  async ask(address: string, port: number): Promise<string | null> {
    const command = `socat -T 2 - TCP:${address}:${port},connect-timeout=1 < /dev/null | head -n 1`;
    return this.run(command).then(
      (text) => text.trim() || null,
      () => null,
    );
  }

  /** Begins to talk over one connection without end; answers how much has come back. */
  async talk(address: string, port: number): Promise<() => number> {
    const file = this.#file('talk');
    await this.#start(
      `(while :; do echo tick; busybox usleep 20000; done) | exec socat - TCP:${address}:${port} > ${file}`,
    );
    return () => statSync(file).size;
  }

  /** Hears everything that comes in from now on; answers whether a text was in it. */
  async listen(): Promise<(text: string) => boolean> {
    const file = this.#file('frames');
    await this.#start(`exec socat -u -b 65536 INTERFACE:eth0 OPEN:${file},append`);
    await eventually('an open card', () =>
      this.succeeds('grep -q . /proc/net/packet && test $(wc -l < /proc/net/packet) -gt 1'),
    );
    return (text) => readFileSync(file, 'latin1').includes(text);
  }

  /** Puts frames on the wire as they are, in this order. */
  async send(...frames: readonly Buffer[]): Promise<void> {
    for (const frame of frames) {
      const file = this.#file('frame');
      writeFileSync(file, frame);
      await this.run(`socat -u -b 65536 OPEN:${file} INTERFACE:eth0`);
    }
  }

  #file(name: string): string {
    this.#files++;
    const path = join(this.#bench.files, `${this.space}-${name}-${this.#files}`);
    writeFileSync(path, '');
    chmodSync(path, 0o666);
    return path;
  }

  async #start(command: string): Promise<void> {
    await this.#bench.commands.detach([...this.#bench.commands.words(this.space), 'sh', '-c', command], 'guests.log');
  }

  ping(address: string): Promise<boolean> {
    return this.succeeds(`busybox ping -c 1 -W 1 ${address}`);
  }

  async remove(): Promise<void> {
    const pids = await this.#bench.commands.run(null, ['ip', 'netns', 'pids', this.space]);
    for (const pid of pids.split('\n').filter(Boolean))
      await this.#bench.commands.run(null, ['kill', '-KILL', pid]).catch(() => undefined);
    await this.#bench.commands.run(null, ['ip', 'netns', 'del', this.space]);
  }
}

/** That nobody else on the machine uses now. */
export function freeTag(): string {
  return `${process.pid.toString(36)}${Math.floor(Math.random() * 36).toString(36)}`.slice(-5);
}

/** Folders that we make here as root would be that user's, if this process were. */
function lend(dir: string): void {
  for (const each of readdirSync(dir, { withFileTypes: true }))
    if (each.isDirectory()) chownSync(join(dir, each.name), NOBODY, NOBODY);
}
