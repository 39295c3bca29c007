/**
 * The plane without root: a user namespace with a network of its own, in which we are root, held by a process that does nothing; pasta
 * (package passt) is its way out, and hands on a range of ports of the machine's loopback, which rules inside give to floating IPs.
 *
 * Both processes outlive us, for guests need them; they are known again by a note, and by the path in pasta's command line.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, readIfThere, unlinkIfThere, writeFileAtomic } from '../driver/guest-files.ts';
import {
  bootId,
  describeProcess,
  identify,
  isAlive,
  listPids,
  type ProcessId,
  signalProcess,
  waitForExit,
} from '../driver/qemu/process.ts';
import { type Base, SPACES_DIR } from './base.ts';
import type { Commands } from './commands.ts';
import { listenElsewhere } from './listen-elsewhere.ts';
import { NetworkError } from './network-error.ts';

export interface RootlessOptions {
  readonly why: string;
  /** Of our own, and not below /run, which is another one inside. */
  readonly dir: string;
  /** First and last port of 127.0.0.1 for floating IPs. */
  readonly forwarded: readonly [number, number];
  /** What commands begin with to be an ordinary user, for tests. */
  readonly within?: readonly string[];
}

interface Note {
  readonly process: ProcessId;
  readonly boot: string;
}

/** Of the namespace's own device; a net that nobody else has to know. */
const UPLINK = { device: 'uplink', address: '169.254.2.2', gateway: '169.254.2.1', prefix: 24 };
const READY_MS = 10_000;
const END_MS = 5_000;
/** Its own /run, for the names of namespaces. */
const HOLD = 'mount -t tmpfs tmpfs /run && mkdir /run/netns && ip link set lo up && exec sleep infinity';

/** `commands`: by which programs are started; they use this base in turn. */
export function rootlessBase(options: RootlessOptions, commands: () => Commands): Base {
  return new RootlessBase(options, commands);
}

class RootlessBase implements Base {
  readonly kind = 'rootless';
  readonly tapOwner = 0;
  readonly #why: string;
  readonly forwarded: readonly [number, number];
  readonly #dir: string;
  readonly #within: readonly string[];
  readonly #commands: () => Commands;
  #holder: ProcessId | null = null;
  /** Why there is no way out. */
  #closed = '';

  constructor({ why, dir, forwarded, within = [] }: RootlessOptions, commands: () => Commands) {
    this.#why = why;
    this.forwarded = forwarded;
    this.#dir = dir;
    this.#within = within;
    this.#commands = commands;
  }

  get why(): string {
    return `${this.#why}${this.#closed}`;
  }

  outside(): readonly string[] {
    return [...this.#within, ...this.#nsenter('--net', '--mount')];
  }

  enter(guests: string): readonly string[] {
    // It is root there only by name: whoever breaks out of a guest shall not rule the plane.
    const powerless = [
      'setpriv',
      '--bounding-set=-all',
      '--inh-caps=-all',
      '--ambient-caps=-all',
      '--no-new-privs',
      '--',
    ];
    return [...this.#within, ...this.#nsenter(`--net=${this.spacesDir()}/${guests}`), ...powerless];
  }

  spacesDir(): string {
    return `/proc/${this.#pid}/root${SPACES_DIR}`;
  }

  async start(): Promise<void> {
    this.#holder = await this.#known();
    if (!this.#holder) {
      await this.#endLost();
      this.#holder = await this.#hold();
    }
    if (await this.#pasta()) return;
    try {
      await this.#startPasta();
      this.#closed = '';
    } catch (error) {
      // It needs a machine that has a way out itself. Among themselves guests need none.
      this.#closed = `; without a way out: ${error instanceof Error ? error.message.trim() : String(error)}`;
    }
  }

  listen(address: string, port: number) {
    return listenElsewhere(this.#nsenter('--net'), address, port);
  }

  async stop(): Promise<void> {
    for (const process of [await this.#pasta(), await this.#known()]) {
      if (!process) continue;
      await signalProcess(process, 'SIGTERM');
      if (!(await waitForExit(process, END_MS))) await signalProcess(process, 'SIGKILL');
    }
    this.#holder = null;
    await Promise.all(['holder.json', 'pasta.pid', 'base.log'].map((name) => unlinkIfThere(join(this.#dir, name))));
  }

  get #pid(): number {
    if (!this.#holder) throw new NetworkError(['the user namespace is not there']);
    return this.#holder.pid;
  }

  #nsenter(...spaces: readonly string[]): string[] {
    return ['nsenter', '--target', `${this.#pid}`, '--user', ...spaces, '--preserve-credentials', '--'];
  }

  /** That of an earlier process, if it still runs. */
  async #known(): Promise<ProcessId | null> {
    const text = await readIfThere(join(this.#dir, 'holder.json'));
    if (text === null) return null;
    // Written by ourselves in one rename.
    const { process, boot } = JSON.parse(text) as Note;
    return boot === (await bootId()) && (await isAlive(process)) && (await isSleeping(process.pid)) ? process : null;
  }

  /** Holders that a process of ours started and could not note any more: they are before the note, so they hold nothing. */
  async #endLost(): Promise<void> {
    for (const pid of await listPids()) {
      const isHolder = (await isSleeping(pid)) && (await describeProcess(pid))?.cwd === this.#dir;
      const process = isHolder ? await identify(pid) : null;
      if (process) await signalProcess(process, 'SIGKILL');
    }
  }

  /** The note comes before the namespace is used. */
  async #hold(): Promise<ProcessId> {
    const words = [
      'unshare',
      '--user',
      '--map-root-user',
      '--net',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      HOLD,
    ];
    const process = await identify(await this.#commands().detach([...this.#within, ...words], 'base.log'));
    const until = performance.now() + READY_MS;
    while (process && !(await isSleeping(process.pid))) {
      if (performance.now() > until || !(await isAlive(process))) break;
      await delay(2);
    }
    if (!process || !(await isSleeping(process.pid))) throw new NetworkError([await this.#said('no user namespace')]);
    const note: Note = { process, boot: await bootId() };
    await writeFileAtomic(join(this.#dir, 'holder.json'), JSON.stringify(note));
    return process;
  }

  async #pasta(): Promise<ProcessId | null> {
    const pid = Number(await readIfThere(join(this.#dir, 'pasta.pid')));
    const process = pid > 0 ? await identify(pid) : null;
    if (!process) return null;
    const isOurs = (await describeProcess(pid))?.argv.includes(join(this.#dir, 'pasta.pid'));
    return isOurs ? process : null;
  }

  async #startPasta(): Promise<void> {
    const { device, address, gateway, prefix } = UPLINK;
    const [first, last] = this.forwarded;
    const words = [
      ...['pasta', '--config-net', '--quiet', '--pid', join(this.#dir, 'pasta.pid')],
      ...['--ns-ifname', device, '--address', address, '--netmask', `${prefix}`, '--gateway', gateway],
      // The machine's own loopback is not for guests.
      ...['--no-map-gw', '--ipv4-only', '--tcp-ns', 'none', '--udp-ns', 'none', '--udp-ports', 'none'],
      ...['--tcp-ports', `127.0.0.1/${first}-${last}`, `${this.#pid}`],
    ];
    await this.#commands().raw([...this.#within, ...words], words);
  }

  async #said(what: string): Promise<string> {
    return `${what}: ${((await readIfThere(join(this.#dir, 'base.log'))) ?? '').trim()}`;
  }
}

/** What the holder does once all is ready. */
async function isSleeping(pid: number): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/comm`, 'utf8')).trim() === 'sleep';
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ESRCH') return false;
    throw error;
  }
}
