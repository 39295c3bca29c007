/**
 * nova-scheduler: picks a host by the index, then claims the room on it in the database, where two schedulers cannot
 * book the same room. A claim that comes too late costs another look, never a double booking.
 */

import type { Rpc } from '#bus/rpc.ts';
import type { InputOf } from '#contracts/contract.ts';
import { schedulerContract } from '#contracts/scheduler.ts';
import type { Database, Queries } from '#db/database.ts';
import {
  findAllocation,
  findHost,
  insertAllocation,
  listHosts,
  NO_USAGE,
  removeAllocation,
  usageByHost,
  usageOfHost,
} from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import { type Log, logHop } from '#observe/log.ts';
import { HostIndex } from './host-index.ts';
import {
  type AllocationRatios,
  DEFAULT_RATIOS,
  type HostState,
  hostState,
  type PlacementRequest,
} from './host-state.ts';
import { pick } from './pick.ts';
import { spread } from './weighers/spread.ts';

export interface SchedulerOptions {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly log: Log;
  readonly now?: () => number;
  readonly ratios?: AllocationRatios;
}

type ClaimRequest = InputOf<typeof schedulerContract.methods.claimHost>;

interface Claimed {
  readonly host: string;
  readonly availabilityZone: string;
  readonly considered: number;
}

type Claim =
  | { readonly type: 'claimed'; readonly host: HostState }
  | { readonly type: 'stale'; readonly host: HostState | null };

const REFRESH_MS = 10_000;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #index = new HostIndex(spread);
  readonly #now: () => number;
  readonly #ratios: AllocationRatios;
  /** Claims under way, by server: a release that came later must not overtake one. */
  readonly #claims = new Map<string, Promise<unknown>>();
  #refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#ratios = options.ratios ?? DEFAULT_RATIOS;
  }

  /** Answers the scheduler's contract. */
  async start(): Promise<void> {
    const { rpc, log } = this.#options;
    await rpc.serve(
      schedulerContract,
      {
        claimHost: (request, { signal }) => this.claimHost(request, signal),
        releaseHost: (request) => this.releaseHost(request.serverId),
      },
      { name: 'nova-scheduler', log },
    );
  }

  async claimHost(request: ClaimRequest, signal?: AbortSignal): Promise<Claimed> {
    const { serverId } = request;
    const before = this.#claims.get(serverId) ?? Promise.resolve();
    const claim = before.then(() => this.#claimHost(request, signal));
    const ended = claim.catch(() => undefined);
    this.#claims.set(serverId, ended);
    try {
      return await claim;
    } finally {
      if (this.#claims.get(serverId) === ended) this.#claims.delete(serverId);
    }
  }

  async #claimHost(request: ClaimRequest, signal: AbortSignal | undefined): Promise<Claimed> {
    const { db, log } = this.#options;
    if (this.#now() - this.#refreshedAt > REFRESH_MS || this.#index.size === 0) await this.#refresh();
    let fresh = false;
    const excluded = new Set<string>();
    for (;;) {
      signal?.throwIfAborted();
      const held = await findAllocation(db.queries, request.serverId);
      const heldHost = held && (await findHost(db.queries, held.host));
      if (heldHost) return { host: heldHost.name, availabilityZone: heldHost.availability_zone, considered: 1 };
      const begun = performance.now();
      const picked = pick(this.#index.bestFirst(), request, this.#now(), excluded);
      const ms = performance.now() - begun;
      if (picked.host === null) {
        // The picture may be old; before saying no, look at the record once.
        if (!fresh) {
          await this.#refresh();
          fresh = true;
          continue;
        }
        log.info({ reason: picked.reason, ms }, 'no valid host');
        throw new CloudError('noValidHost', { reason: picked.reason });
      }
      const { host } = picked;
      // Seen as taken at once: whoever picks before the claim is committed shall look elsewhere.
      this.#index.set(booked(host, request));
      let claim: Claim;
      try {
        claim = await db.commit((trx) => this.#claim(trx, request, host.name));
      } catch (error) {
        this.#index.set(host);
        throw error;
      }
      if (claim.host) this.#index.set(claim.host);
      if (claim.type === 'claimed') {
        logHop(log, {
          from: 'nova-scheduler',
          to: 'nova-scheduler',
          what: `picked ${claim.host.name}, ${picked.considered} considered`,
          ms,
        });
        return { host: claim.host.name, availabilityZone: claim.host.availabilityZone, considered: picked.considered };
      }
      if (!claim.host) excluded.add(host.name);
    }
  }

  async releaseHost(serverId: string): Promise<Record<string, never>> {
    await this.#claims.get(serverId);
    const host = await this.#options.db.commit((trx) => removeAllocation(trx, serverId));
    if (host !== null) await this.#look(host);
    return {};
  }

  /** Reads the host again and books it if the request still fits. Inside a transaction: only queries, and never a throw. */
  async #claim(trx: Queries, request: ClaimRequest, name: string): Promise<Claim> {
    const row = await findHost(trx, name);
    if (!row) return { type: 'stale', host: null };
    const state = hostState(row, await usageOfHost(trx, name), this.#ratios);
    if (pick([state], request satisfies PlacementRequest, this.#now(), new Set()).host === null)
      return { type: 'stale', host: state };
    // The same request may have come twice and be on its way here already.
    if (await findAllocation(trx, request.serverId)) return { type: 'stale', host: state };
    const { vcpus, memoryMib, diskGib } = request.resources;
    const isBooked = await insertAllocation(
      trx,
      {
        server_id: request.serverId,
        host: name,
        vcpus,
        memory_mib: memoryMib,
        disk_gib: diskGib,
        created_at: this.#now(),
      },
      row.generation,
    );
    if (!isBooked) return { type: 'stale', host: state };
    return { type: 'claimed', host: { ...booked(state, request), generation: row.generation + 1 } };
  }

  async #look(name: string): Promise<void> {
    const { queries } = this.#options.db;
    const row = await findHost(queries, name);
    if (row) this.#index.set(hostState(row, await usageOfHost(queries, name), this.#ratios));
  }

  async #refresh(): Promise<void> {
    const { queries } = this.#options.db;
    const [hosts, usage] = [await listHosts(queries), await usageByHost(queries)];
    this.#index.replaceAll(hosts.map((row) => hostState(row, usage.get(row.name) ?? NO_USAGE, this.#ratios)));
    this.#refreshedAt = this.#now();
  }
}

/** The host with the request's share taken. */
function booked(host: HostState, { resources }: PlacementRequest): HostState {
  const { used } = host;
  return {
    ...host,
    used: {
      vcpus: used.vcpus + resources.vcpus,
      memoryMib: used.memoryMib + resources.memoryMib,
      diskGib: used.diskGib + resources.diskGib,
    },
  };
}
