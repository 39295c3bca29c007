/**
 * nova-scheduler: picks a host by the index, then claims the room on it in the database, where two schedulers cannot
 * book the same room. A claim that comes too late costs another look, never a double booking.
 */

import type { Rpc } from '#bus/rpc.ts';
import { schedulerContract } from '#contracts/scheduler.ts';
import type { Database, Queries } from '#db/database.ts';
import { aggregatesByHost, zoneOf } from '#db/repo/aggregates.ts';
import { failedBuildsByHost, openOperationsByHost } from '#db/repo/host-load.ts';
import {
  allocationsOf,
  findHost,
  holdFor,
  insertAllocation,
  listHosts,
  NO_USAGE,
  removeAllocations,
  usageByHost,
  usageOfHost,
} from '#db/repo/hosts.ts';
import type { AllocationRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Log, logHop } from '#observe/log.ts';
import { type Meter, NO_METER } from '#observe/metrics.ts';
import type { Telemetry } from '#observe/telemetry.ts';
import { HostIndex } from './host-index.ts';
import {
  type AllocationRatios,
  DEFAULT_RATIOS,
  type HostState,
  hostState,
  type PlacementRequest,
} from './host-state.ts';
import { pick } from './pick.ts';
import { type ClaimRequest, placement } from './placement.ts';
import { preferred } from './weighers/server-group.ts';
import { weightOf } from './weighers/weight.ts';

export interface SchedulerOptions {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly log: Log;
  readonly telemetry?: Telemetry;
  readonly now?: () => number;
  readonly ratios?: AllocationRatios;
}

interface Claimed {
  readonly host: string;
  readonly availabilityZone: string;
  readonly considered: number;
}

type Claim =
  | { readonly type: 'claimed'; readonly host: HostState }
  | { readonly type: 'stale'; readonly host: HostState | null };

const REFRESH_MS = 10_000;
/** How long a guest that could not be made speaks against its host. */
const FAILURES_COUNT_MS = 600_000;

export class Scheduler {
  readonly #options: SchedulerOptions;
  readonly #index = new HostIndex(weightOf);
  readonly #now: () => number;
  readonly #ratios: AllocationRatios;
  readonly #meter: Meter;
  /** Claims under way, by server: a release that came later must not overtake one. */
  readonly #claims = new Map<string, Promise<unknown>>();
  /** As of the last look at all hosts. */
  #failedBuilds: ReadonlyMap<string, number> = new Map();
  #refreshedAt = Number.NEGATIVE_INFINITY;

  constructor(options: SchedulerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#ratios = options.ratios ?? DEFAULT_RATIOS;
    this.#meter = options.telemetry?.meter ?? NO_METER;
  }

  /** Answers the scheduler's contract. */
  async start(): Promise<void> {
    const { rpc, log } = this.#options;
    await rpc.serve(
      schedulerContract,
      {
        claimHost: (request, { signal }) => this.claimHost(request, signal),
        releaseHost: ({ serverId }) => this.#release(serverId, (trx) => removeAllocations(trx, serverId)),
        settleMove: ({ serverId }) => this.#release(serverId, (trx) => removeAllocations(trx, serverId, 'migration')),
        revertMove: ({ serverId }) => this.#release(serverId, (trx) => revertMove(trx, serverId)),
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
      const held = claimOf(await allocationsOf(db.queries, request.serverId), request);
      const heldHost = held && (await findHost(db.queries, held.host));
      if (heldHost) {
        this.#decided('repeated');
        const zone = zoneOf(heldHost, (await aggregatesByHost(db.queries, heldHost.name)).get(heldHost.name));
        return { host: heldHost.name, availabilityZone: zone, considered: 1 };
      }
      const asked = await placement(db.queries, request);
      const begun = performance.now();
      const hosts = preferred(this.#index.bestFirst(), asked.group);
      const picked = pick(hosts, asked, this.#now(), excluded);
      const ms = performance.now() - begun;
      this.#meter.observe('micronova_scheduler_pick_duration_seconds', {}, ms / 1000);
      if (picked.host === null) {
        // The picture may be old; before saying no, look at the record once.
        if (!fresh) {
          await this.#refresh();
          fresh = true;
          continue;
        }
        log.info({ reason: picked.reason, ms }, 'no valid host');
        this.#decided('no_valid_host');
        throw new CloudError('noValidHost', { reason: picked.reason });
      }
      const { host } = picked;
      // Seen as taken at once: whoever picks before the claim is committed shall look elsewhere.
      this.#index.set(booked(host, request));
      let claim: Claim;
      try {
        claim = await db.commit((trx) => this.#claim(trx, request, host));
      } catch (error) {
        this.#index.set(host);
        throw error;
      }
      if (claim.host) this.#index.set(claim.host);
      if (claim.type === 'claimed') {
        this.#decided('claimed');
        logHop(log, {
          from: 'nova-scheduler',
          to: 'nova-scheduler',
          what: `picked ${claim.host.name}, ${picked.considered} considered`,
          ms,
        });
        return { host: claim.host.name, availabilityZone: claim.host.availabilityZone, considered: picked.considered };
      }
      this.#meter.count('micronova_scheduler_claims_lost_total', {});
      if (!claim.host) excluded.add(host.name);
    }
  }

  #decided(outcome: string): void {
    this.#meter.count('micronova_scheduler_decisions_total', { outcome });
  }

  releaseHost(serverId: string): Promise<Record<string, never>> {
    return this.#release(serverId, (trx) => removeAllocations(trx, serverId));
  }

  /** Gives back what `work` removes, on the hosts that it answers. */
  async #release(serverId: string, work: (trx: Queries) => Promise<readonly string[]>): Promise<Record<string, never>> {
    await this.#claims.get(serverId);
    for (const host of await this.#options.db.commit(work)) await this.#look(host);
    return {};
  }

  /** Reads the host again and books it if the request still fits. Inside a transaction: only queries, and never a throw. */
  async #claim(trx: Queries, request: ClaimRequest, picked: HostState): Promise<Claim> {
    const { name, openOperations, failedBuilds } = picked;
    const row = await findHost(trx, name);
    if (!row) return { type: 'stale', host: null };
    const aggregates = (await aggregatesByHost(trx, name)).get(name) ?? [];
    const used = await usageOfHost(trx, name);
    const state = hostState(row, { used, aggregates, openOperations, failedBuilds }, this.#ratios);
    const asked = await placement(trx, request, 'lock');
    if (pick([state], asked, this.#now(), new Set()).host === null) return { type: 'stale', host: state };
    // The same request may have come twice and be on its way here already.
    const held = await allocationsOf(trx, request.serverId);
    if (claimOf(held, request)) return { type: 'stale', host: state };
    if (request.move) await holdFor(trx, request.serverId, 'migration');
    const { vcpus, memoryMib, diskGib } = request.resources;
    const isBooked = await insertAllocation(
      trx,
      {
        server_id: request.serverId,
        held_for: 'server',
        host: name,
        vcpus,
        memory_mib: memoryMib,
        disk_gib: diskGib,
        created_at: this.#now(),
      },
      row.generation,
    );
    if (!isBooked) {
      if (request.move) await holdFor(trx, request.serverId, 'server');
      return { type: 'stale', host: state };
    }
    return { type: 'claimed', host: { ...booked(state, request), generation: row.generation + 1 } };
  }

  async #look(name: string): Promise<void> {
    const { queries } = this.#options.db;
    const row = await findHost(queries, name);
    if (!row) return;
    const surroundings = {
      used: await usageOfHost(queries, name),
      aggregates: (await aggregatesByHost(queries, name)).get(name) ?? [],
      openOperations: (await openOperationsByHost(queries, name)).get(name) ?? 0,
      failedBuilds: this.#failedBuilds.get(name) ?? 0,
    };
    this.#index.set(hostState(row, surroundings, this.#ratios));
  }

  async #refresh(): Promise<void> {
    const { queries } = this.#options.db;
    const [hosts, usage] = [await listHosts(queries), await usageByHost(queries)];
    const aggregates = await aggregatesByHost(queries);
    const open = await openOperationsByHost(queries);
    this.#failedBuilds = await failedBuildsByHost(queries, this.#now() - FAILURES_COUNT_MS);
    const states = hosts.map((row) => {
      const surroundings = {
        used: usage.get(row.name) ?? NO_USAGE,
        aggregates: aggregates.get(row.name) ?? [],
        openOperations: open.get(row.name) ?? 0,
        failedBuilds: this.#failedBuilds.get(row.name) ?? 0,
      };
      return hostState(row, surroundings, this.#ratios);
    });
    this.#index.replaceAll(states);
    this.#refreshedAt = this.#now();
  }
}

/** What the request claimed already: where the server moves, it holds room for two things then. */
function claimOf(held: readonly AllocationRow[], { move }: ClaimRequest): AllocationRow | undefined {
  const isMoving = held.some(({ held_for }) => held_for === 'migration');
  return move && !isMoving ? undefined : held.find(({ held_for }) => held_for === 'server');
}

async function revertMove(trx: Queries, serverId: string): Promise<readonly string[]> {
  const held = await allocationsOf(trx, serverId);
  if (!held.some(({ held_for }) => held_for === 'migration')) return [];
  const hosts = await removeAllocations(trx, serverId, 'server');
  await holdFor(trx, serverId, 'server');
  return hosts;
}

/** The host with the request's share taken. */
function booked(host: HostState, { resources }: Pick<PlacementRequest, 'resources'>): HostState {
  const { used, openOperations } = host;
  return {
    ...host,
    openOperations: openOperations + 1,
    used: {
      vcpus: used.vcpus + resources.vcpus,
      memoryMib: used.memoryMib + resources.memoryMib,
      diskGib: used.diskGib + resources.diskGib,
    },
  };
}
