/**
 * Hosts on one machine: a network namespace for each, joined by a bridge that has the machine itself on it, unless the hosts
 * are to be among themselves. All of it has the name of this process, and is gone with `remove`. Needs root; `ip` of iproute2.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { CommandError } from '../command-error.ts';

/** One that was made. */
export interface NamespaceOfHost {
  readonly name: string;
  readonly address: string;
  /** What a command there begins with. */
  readonly enter: readonly string[];
}

export class Namespaces {
  readonly #name = `mn${process.pid}`;
  readonly #net: string;
  /** Name of each host → what the names begin with of those that its agent makes for its guests; null: it makes none. */
  readonly #hosts = new Map<string, string | null>();

  /**
   * Makes the bridge. `among`: three numbers of a network, in which the hosts are among themselves; any number of such can be on one
   * machine. Throws `CommandError` where that is not allowed.
   */
  constructor({ among }: { readonly among?: string } = {}) {
    if (process.getuid?.() !== 0) throw new CommandError('several hosts need network namespaces, and those need root');
    this.#net = among ?? freeNet();
    this.#ip('link', 'add', this.#bridge, 'type', 'bridge');
    if (among === undefined) this.#ip('addr', 'add', `${this.address}/24`, 'dev', this.#bridge);
    this.#ip('link', 'set', this.#bridge, 'up');
  }

  /** The machine's own address on the bridge. */
  get address(): string {
    return `${this.#net}.1`;
  }

  get #bridge(): string {
    return `${this.#name}b`;
  }

  /** Makes a host. `guests`: what the names begin with of namespaces that its agent makes; they end with the host. */
  add({ guests = null }: { readonly guests?: string | null } = {}): NamespaceOfHost {
    const index = this.#hosts.size + 1;
    const name = `${this.#name}h${index}`;
    const address = `${this.#net}.${10 + index}`;
    this.#hosts.set(name, guests);
    this.#ip('netns', 'add', name);
    const [near, far] = [`${this.#name}v${index}`, 'eth0'];
    this.#ip('link', 'add', near, 'type', 'veth', 'peer', 'name', far, 'netns', name);
    this.#ip('link', 'set', near, 'master', this.#bridge, 'up');
    this.#ip('-n', name, 'addr', 'add', `${address}/24`, 'dev', far);
    for (const device of ['lo', far]) this.#ip('-n', name, 'link', 'set', device, 'up');
    // Not `ip netns exec`, which makes a namespace of mounts too: names of namespaces are mounts, and those of guests would be lost with it.
    return { address, enter: ['nsenter', `--net=/run/netns/${name}`, '--'], name };
  }

  /** Ends every process of a host, as a power cut does: its agent first, which could start more. Nothing of its networks is left. */
  cutPower(name: string): void {
    killAll(name);
    for (const each of this.guestsSpaces(name)) {
      killAll(each);
      this.#ip('netns', 'del', each);
    }
  }

  /** Namespaces that the agent of a host has made. */
  guestsSpaces(name: string): string[] {
    const prefix = this.#hosts.get(name) ?? null;
    return prefix === null ? [] : spaces().filter((each) => each.startsWith(prefix));
  }

  /** Everything gone, whatever is in it. */
  remove(): void {
    for (const [index, name] of [...this.#hosts.keys()].entries()) {
      this.cutPower(name);
      // With its other end; else the kernel removes it some time after the namespace.
      const near = `${this.#name}v${index + 1}`;
      if (existsSync(`/sys/class/net/${near}`)) this.#ip('link', 'del', near);
      this.#ip('netns', 'del', name);
    }
    this.#ip('link', 'del', this.#bridge);
  }

  #ip(...words: readonly string[]): void {
    try {
      execFileSync('ip', [...words], { stdio: ['ignore', 'ignore', 'pipe'] });
    } catch (error) {
      const reason = String((error as { stderr?: Buffer }).stderr ?? error).trim();
      throw new CommandError(`ip ${words.join(' ')}: ${reason}`);
    }
  }
}

function spaces(): string[] {
  const lines = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n');
  return lines.map((line) => line.split(' ')[0] ?? '').filter(Boolean);
}

function killAll(namespace: string): void {
  const pids = execFileSync('ip', ['netns', 'pids', namespace], { encoding: 'utf8' });
  for (const pid of pids.split('\n').filter(Boolean).map(Number)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      // It has just ended by itself.
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}

/** Three numbers of a network that this machine does not know. */
function freeNet(): string {
  const routes = execFileSync('ip', ['-4', 'route', 'show', 'table', 'all'], { encoding: 'utf8' });
  for (let third = 77; third < 255; third++) if (!routes.includes(`10.213.${third}.`)) return `10.213.${third}`;
  throw new CommandError('no network of 10.213.0.0/16 is free');
}
