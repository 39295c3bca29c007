/**
 * Empties a host that is out of service: its servers are moved one after the other, and each move is confirmed before the next
 * begins. All that it knows is in the cloud: run again it goes on, and confirms what an earlier run began.
 *
 * It decides nothing for owners: a resize that waits for its owner's word stays, and is told at the end.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Migration, movesFrom, type Server, serversOn } from './host-contents.ts';
import { type OpenStack, Refused } from './openstack.ts';

export interface Drained {
  readonly moved: number;
  /** What still has something on the host, and why. */
  readonly left: readonly { readonly id: string; readonly name: string; readonly why: string }[];
}

export interface DrainOptions {
  readonly say: (line: string) => void;
  /** How long to wait between two looks at a move. */
  readonly pollMs?: number;
}

const SERVERS = '/compute/v2.1/servers';

export class Drain {
  readonly #cloud: OpenStack;
  readonly #host: string;
  readonly #say: (line: string) => void;
  readonly #pollMs: number;
  /** Why a server stays, by its id. */
  readonly #why = new Map<string, string>();
  #moved = 0;

  constructor(cloud: OpenStack, host: string, { say, pollMs = 500 }: DrainOptions) {
    this.#cloud = cloud;
    this.#host = host;
    this.#say = say;
    this.#pollMs = pollMs;
  }

  /** Goes once over all that is on the host. Throws `CommandError` where the cloud does not answer. */
  async run(): Promise<Drained> {
    // What an earlier run, or another operator, began.
    for (const move of await movesFrom(this.#cloud, this.#host)) await this.#finish(move);
    for (const { id } of await serversOn(this.#cloud, this.#host)) {
      const server = await this.#settled(id);
      if (server?.['OS-EXT-SRV-ATTR:host'] !== this.#host) continue;
      if (server.status === 'ACTIVE' || server.status === 'SHUTOFF')
        await this.#attempt(server, () => this.#move(server));
      else this.#stays(server, cannotMove(server.status));
    }
    return { moved: this.#moved, left: await this.#left() };
  }

  async #finish({ instance_uuid: id, migration_type: type }: Migration): Promise<void> {
    if (type !== 'migration') return;
    const server = await this.#settled(id);
    if (server && this.#hasLeft(server)) await this.#attempt(server, () => this.#confirm(server));
  }

  async #move(server: Server): Promise<void> {
    this.#say(`${titleOf(server)}, ${server.status}: moving it`);
    const requestId = (await this.#moveLive(server)) ?? (await this.#act(server, { migrate: { host: null } }));
    const after = await this.#settled(server.id);
    if (after === null) return;
    if (this.#hasLeft(after)) await this.#confirm(after);
    else if (after['OS-EXT-SRV-ATTR:host'] !== this.#host) this.#isMoved(after);
    else this.#stays(after, await this.#reasonOf(after, requestId));
  }

  /** Ends a move from the host for good. */
  async #confirm(server: Server): Promise<void> {
    const requestId = await this.#act(server, { confirmResize: null });
    const after = await this.#settled(server.id);
    if (after && this.#hasLeft(after)) {
      this.#stays(after, `it was moved, and that could not be confirmed: ${await this.#reasonOf(after, requestId)}`);
      return;
    }
    this.#isMoved(server);
  }

  #isMoved(server: Server): void {
    this.#moved += 1;
    this.#say(`${titleOf(server)} is on ${server['OS-EXT-SRV-ATTR:host']}`);
  }

  /** One that runs moves while it runs; null where it does not, or where the cloud cannot do that. */
  async #moveLive(server: Server): Promise<string | null> {
    if (server.status !== 'ACTIVE') return null;
    try {
      return await this.#act(server, { 'os-migrateLive': { host: null, block_migration: 'auto' } });
    } catch (error) {
      if (error instanceof Refused && error.message.includes('There is no such action')) return null;
      throw error;
    }
  }

  /** It was moved from here, and what was copied is still here. */
  #hasLeft(server: Server): boolean {
    return server.status === 'VERIFY_RESIZE' && server['OS-EXT-SRV-ATTR:host'] !== this.#host;
  }

  /** A refusal is about this one server; that nobody answers is about all. */
  async #attempt(server: Server, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof Refused) || error.status >= 500) throw error;
      this.#stays(server, error.message);
    }
  }

  #stays(server: Server, why: string): void {
    this.#why.set(server.id, why);
    this.#say(`${titleOf(server)} stays: ${why}`);
  }

  /** The server once nothing is in flight, however long that takes: disks are large. Null when it is gone. */
  async #settled(id: string): Promise<Server | null> {
    for (;;) {
      const server = await this.#show(id);
      if (server === null || server['OS-EXT-STS:task_state'] === null) return server;
      await delay(this.#pollMs);
    }
  }

  async #show(id: string): Promise<Server | null> {
    try {
      return (await this.#cloud.request<{ server: Server }>('GET', `${SERVERS}/${id}`)).body.server;
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    }
  }

  async #act(server: Server, action: object): Promise<string> {
    return (await this.#cloud.request('POST', `${SERVERS}/${server.id}/action`, { json: action })).requestId;
  }

  /** Why what was asked for failed, as the cloud says. */
  async #reasonOf(server: Server, requestId: string): Promise<string> {
    const path = `${SERVERS}/${server.id}/os-instance-actions/${requestId}`;
    const { body } = await this.#cloud.request<{ instanceAction: { message: string | null } }>('GET', path);
    return body.instanceAction.message ?? `it is ${server.status}`;
  }

  async #left(): Promise<Drained['left']> {
    const here = await serversOn(this.#cloud, this.#host);
    const left = here.map(({ id, name }) => ({ id, name, why: this.#why.get(id) ?? 'it came meanwhile' }));
    for (const { instance_uuid: id, migration_type: type } of await movesFrom(this.#cloud, this.#host)) {
      const server = await this.#show(id);
      if (server === null || left.some((each) => each.id === id)) continue;
      const why = this.#why.get(id) ?? `its ${type} from here waits to be confirmed or reverted by its owner`;
      left.push({ id, name: server.name, why });
    }
    return left;
  }
}

function titleOf({ id, name }: Server): string {
  return `${name} (${id})`;
}

function cannotMove(status: string): string {
  if (status === 'VERIFY_RESIZE') return 'its move to here waits to be confirmed or reverted by its owner';
  return `it is ${status}; only ACTIVE and SHUTOFF servers can be moved`;
}
