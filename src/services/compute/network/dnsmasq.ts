/**
 * The dnsmasq of one namespace each: started, told of new hosts, ended. Its files are in a folder of the namespace's name; the hash of what it
 * cannot read again is in its command line, so that one which an earlier process of ours has started is known by it.
 */
import { createHash } from 'node:crypto';
import { chmod, mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readIfThere, writeFileAtomic } from '../driver/guest-files.ts';
import {
  describeProcess,
  identify,
  listPids,
  type ProcessId,
  signalProcess,
  waitForExit,
} from '../driver/qemu/process.ts';
import type { Commands } from './commands.ts';
import type { DnsmasqConfig } from './texts/dnsmasq-config.ts';

interface Running {
  readonly process: ProcessId;
  readonly hash: string;
}

const CONF = /^dnsmasq-([0-9a-f]{16})\.conf$/;
const END_MS = 5_000;

export class Dnsmasqs {
  readonly #dir: string;
  readonly #commands: Commands;
  /** Whom it becomes; null: nobody else. */
  readonly #user: string | null;
  readonly #running = new Map<string, Running[]>();
  /** What those read that run, by this process' knowledge. */
  readonly #read = new Map<string, DnsmasqConfig>();

  /** Folders are made in `dir`, which its user must be able to pass through. */
  constructor(options: { readonly dir: string; readonly commands: Commands; readonly user: string | null }) {
    this.#dir = options.dir;
    this.#commands = options.commands;
    this.#user = options.user;
  }

  /** Finds those that an earlier process has left. */
  async recover(): Promise<void> {
    this.#running.clear();
    this.#read.clear();
    for (const pid of await listPids()) {
      const words = (await describeProcess(pid))?.argv ?? [];
      const file = words
        .find((word) => word.startsWith(`--conf-file=${this.#dir}/`))
        ?.slice(`--conf-file=${this.#dir}/`.length);
      const [space = '', name = ''] = file?.split('/') ?? [];
      const hash = CONF.exec(name)?.[1];
      const process = hash === undefined ? null : await identify(pid);
      if (process && hash !== undefined) this.#running.getOrInsert(space, []).push({ process, hash });
    }
  }

  /** Namespaces that have one, or its files. */
  async spaces(): Promise<string[]> {
    const folders = await readdir(this.#dir, { withFileTypes: true });
    return [
      ...new Set([...this.#running.keys(), ...folders.filter((each) => each.isDirectory()).map(({ name }) => name)]),
    ];
  }

  /** One of this configuration runs in the namespace; null: none. */
  async ensure(space: string, config: DnsmasqConfig | null): Promise<void> {
    if (!config) return this.remove(space);
    const dir = join(this.#dir, space);
    const main = this.#main(dir, config);
    const hash = createHash('sha256').update(main).digest('hex').slice(0, 16);
    const conf = `dnsmasq-${hash}.conf`;
    const before = this.#read.get(space);
    await mkdir(dir, { recursive: true, mode: 0o755 });
    const changed = await this.#write(dir, { ...filesOf(config), [conf]: main });
    const alive = await this.#alive(space);
    const [only] = alive;
    // It remembers who had an address, and refuses it to the next.
    const keeps = before?.hosts.every((host) => config.hosts.includes(host)) ?? !changed;
    if (only && alive.length === 1 && only.hash === hash && keeps) {
      if (changed || !before) await signalProcess(only.process, 'SIGHUP');
    } else {
      await this.#end(space);
      // In a user namespace of ours there is no group that it could change to.
      const group = this.#user === null ? ['--group='] : [];
      await this.#commands.run(space, ['dnsmasq', `--conf-file=${join(dir, conf)}`, ...group]);
      const process = await identify(Number(await readIfThere(join(dir, 'pid'))));
      if (!process) throw new Error(`dnsmasq of ${space} has ended at once`);
      this.#running.set(space, [{ process, hash }]);
    }
    const old = (await readdir(dir)).filter((name) => CONF.test(name) && name !== conf);
    await Promise.all(old.map((name) => rm(join(dir, name), { force: true })));
    this.#read.set(space, config);
  }

  /** None runs there, and there are no files. */
  async remove(space: string): Promise<void> {
    await this.#end(space);
    await rm(join(this.#dir, space), { recursive: true, force: true });
  }

  async #end(space: string): Promise<void> {
    this.#read.delete(space);
    for (const { process } of this.#running.get(space) ?? []) {
      await signalProcess(process, 'SIGTERM');
      if (!(await waitForExit(process, END_MS))) await signalProcess(process, 'SIGKILL');
    }
    this.#running.delete(space);
  }

  async #alive(space: string): Promise<Running[]> {
    const alive: Running[] = [];
    for (const each of this.#running.get(space) ?? [])
      if ((await identify(each.process.pid))?.startTime === each.process.startTime) alive.push(each);
    return alive;
  }

  #main(dir: string, { main }: DnsmasqConfig): string {
    const own = [
      `pid-file=${join(dir, 'pid')}`,
      `dhcp-hostsfile=${join(dir, 'hosts')}`,
      `dhcp-optsfile=${join(dir, 'options')}`,
      `addn-hosts=${join(dir, 'names')}`,
      `user=${this.#user ?? 'root'}`,
    ];
    return [...main, ...own, ''].join('\n');
  }

  /** Answers whether anything was not so before. */
  async #write(dir: string, files: Readonly<Record<string, string>>): Promise<boolean> {
    let changed = false;
    for (const [name, content] of Object.entries(files)) {
      const path = join(dir, name);
      if ((await readIfThere(path)) === content) continue;
      changed = true;
      await writeFileAtomic(path, content);
      // Its user is another one.
      await chmod(path, 0o644);
    }
    return changed;
  }
}

function filesOf({ hosts, options, names }: DnsmasqConfig): Record<string, string> {
  const text = (lines: readonly string[]) => lines.map((line) => `${line}\n`).join('');
  return { hosts: text(hosts), options: text(options), names: text(names) };
}
