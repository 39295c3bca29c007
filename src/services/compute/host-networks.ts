/**
 * Keeps the networks of this host as the record wants them: asks for the plan and has it made real. A guest that is about to start
 * waits until its ports are in it (`ensure`); everybody else only hints.
 *
 * The first plan of a process is the time to look after guests that run already: whoever was here before may have ended between the making
 * of a tap and its joining, and namespaces may have been made anew.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from '#bus/rpc.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import { CloudError } from '#domain/errors.ts';
import type { Log } from '#observe/log.ts';
import type { NetworkPlane } from './network/plane.ts';

const AGAIN_MS = 2_000;

export interface HostNetworksOptions {
  readonly host: string;
  readonly conductor: Client<typeof conductorContract>;
  readonly plane: Pick<NetworkPlane, 'kind' | 'apply' | 'attach' | 'conflicts'>;
  /** Ports of the guests that execute here. */
  readonly runningPorts: () => Promise<readonly string[]>;
  /** How long it waits after a failure. */
  readonly againMs?: number;
  readonly log: Log;
}

export class HostNetworks {
  readonly #options: HostNetworksOptions;
  readonly #closing = new AbortController();
  #revision: string | undefined;
  /** Of the plan that was made real last. */
  #ports: ReadonlySet<string> = new Set();
  #going: Promise<void> = Promise.resolve();
  /** One that has not asked yet: what comes now is in its answer. */
  #next: Promise<void> | undefined;
  #isAsking = false;
  #isHinted = false;
  #heeding: Promise<void> | undefined;
  #told: ReadonlySet<string> = new Set();
  /** A guest waits for the next answer. */
  #joins = false;
  #hasRejoined = false;

  constructor(options: HostNetworksOptions) {
    this.#options = options;
  }

  /** Resolves when these ports are there. Throws `conflict` when the record does not have them on this host. */
  async ensure(portIds: readonly string[]): Promise<void> {
    if (this.#isNone) return;
    const missing = () => portIds.find((id) => !this.#ports.has(id));
    // What is being asked may have been answered before they came here, and take away what is there from an earlier time.
    if (missing() === undefined && !this.#isAsking) return;
    await this.#ask(true);
    const id = missing();
    if (id !== undefined)
      throw new CloudError('conflict', { reason: `Port ${id} is not one of a server on ${this.#options.host}.` });
  }

  /** Begins what `ensure` will wait for. What goes wrong is told to whoever waits. */
  prepare(portIds: readonly string[]): void {
    this.ensure(portIds).catch(() => undefined);
  }

  /** Resolves when what the record said at this moment, or later, is so. */
  refresh(): Promise<void> {
    return this.#ask(false);
  }

  #ask(isJoining: boolean): Promise<void> {
    this.#joins ||= isJoining;
    this.#next ??= this.#going
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#isAsking = true;
        this.#going = this.#once().finally(() => {
          this.#isAsking = false;
        });
        return this.#going;
      });
    return this.#next;
  }

  /** The same, whenever that may be: a failure is told to the log, and tried again. */
  hint(): void {
    if (this.#isNone) return;
    // Also while one is heeded: that may have asked before this was true.
    this.#isHinted = true;
    this.#heeding ??= this.#heed().finally(() => {
      this.#heeding = undefined;
    });
  }

  get #isNone(): boolean {
    return this.#options.plane.kind === 'none';
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#heeding;
    await this.#next?.catch(() => undefined);
    await this.#going.catch(() => undefined);
  }

  async #heed(): Promise<void> {
    const { signal } = this.#closing;
    while (this.#isHinted && !signal.aborted) {
      this.#isHinted = false;
      try {
        await this.refresh();
      } catch (error) {
        if (signal.aborted) return;
        this.#isHinted = true;
        this.#options.log.warn({ err: error }, 'networks are not as they shall be; tried again');
        await delay(this.#options.againMs ?? AGAIN_MS, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** Once, not with every plan. */
  #tell(conflicts: readonly string[]): void {
    for (const conflict of conflicts)
      if (!this.#told.has(conflict))
        this.#options.log.warn({ conflict }, 'a range of a network is in use on this machine');
    this.#told = new Set(conflicts);
  }

  async #once(): Promise<void> {
    const { host, conductor, plane } = this.#options;
    const known = this.#revision === undefined ? {} : { revision: this.#revision };
    const isJoining = this.#joins;
    this.#joins = false;
    const { revision, plan } = await conductor.hostNetwork({ host, ...known, isJoining });
    if (!plan) return;
    // Half of it may have been made when it fails.
    this.#revision = undefined;
    this.#ports = new Set();
    await plane.apply(plan);
    this.#tell(plane.conflicts());
    this.#ports = new Set(plan.networks.flatMap(({ ports }) => ports.map(({ id }) => id)));
    if (!this.#hasRejoined) await this.#rejoin();
    this.#hasRejoined = true;
    this.#revision = revision;
  }

  async #rejoin(): Promise<void> {
    const { plane, runningPorts, log } = this.#options;
    for (const portId of (await runningPorts()).filter((id) => this.#ports.has(id))) {
      try {
        await plane.attach(portId);
      } catch (error) {
        // Whose tap is gone gets another one when it is started again, and not before.
        log.warn({ err: error, port: portId }, 'a guest runs without its network; a hard reboot gives it back');
      }
    }
  }
}
