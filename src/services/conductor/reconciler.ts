/**
 * Brings record and reality together: a guest that powered off, a QEMU that was killed, a host that restarted, files that
 * vanished.
 *
 * What hosts tell is only a hint to look: the host is asked again, and the record changes if nobody has changed it since it
 * was read. So a message that comes late can do no harm. While an operation works on the server it waits.
 */
import { randomUUID } from 'node:crypto';
import type { Handlers, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { GuestsFound } from '#contracts/guest.ts';
import { VERSIONS } from '#contracts/operation-inputs.ts';
import type { Database } from '#db/database.ts';
import { insertOperation, type NewOperation, recordAction, takeServer } from '#db/repo/operations.ts';
import { hasLeft } from '#db/repo/server-migrations.ts';
import { changeIdleServer, findServer, findServerEver, serversOn } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { type Correction, correctionOf, type FoundGuest } from '#domain/instance/reconcile.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { newRequestId } from '#http/request-id.ts';
import { withContext } from '#observe/context.ts';
import type { Log } from '#observe/log.ts';

const NAME = 'nova-conductor';
/** At a server that is changed all the time; the next report of its host tells it again. */
const LOOKS = 5;

export interface ReconcilerOptions {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly log: Log;
  readonly now: () => number;
  /** Guests that ran when their host went down are started again. */
  readonly startLostGuests: boolean;
  /** Told of operations that were accepted here. */
  readonly begun: (operationId: string) => void;
}

/** What was told of a guest, and why it is so. */
interface Heard {
  readonly state: FoundGuest['state'];
  readonly reason: string;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** Servers that were heard of while an operation worked on them. */
  readonly #later = new Set<string>();
  readonly #looking = new Map<string, Promise<void>>();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  /** Its part of the conductor's contract. */
  handlers(): Pick<Handlers<typeof conductorContract>, 'guestChanged' | 'guestsFound'> {
    return {
      guestChanged: async ({ serverId, state, reason }) => {
        await this.look(serverId, { state, reason });
        return {};
      },
      guestsFound: async ({ host, guests }) => {
        const agent = this.#options.rpc.client(computeContract, NAME, host);
        for (const serverId of await this.compare(host, guests)) await agent.destroyGuest({ serverId });
        return {};
      },
    };
  }

  /** An operation on the server is over: what was heard meanwhile is looked at now, and what it may have left otherwise. */
  operationEnded(serverId: string, { asWanted }: { readonly asWanted: boolean }): void {
    if (!this.#later.delete(serverId) && asWanted) return;
    this.look(serverId, null).catch((error: unknown) =>
      this.#options.log.warn(
        { err: error, instance_id: serverId },
        'guest not looked at; the next report tells it again',
      ),
    );
  }

  /** Looks at every server of the host whose guest is not as the record says; answers guests of deleted servers. */
  async compare(host: string, guests: GuestsFound): Promise<string[]> {
    const { db, log } = this.#options;
    const found = new Map(guests.map((guest) => [guest.serverId, guest]));
    const rows = await serversOn(db.queries, host);
    for (const row of rows) {
      const guest = found.get(row.id);
      found.delete(row.id);
      const damage = guest?.isDamaged ? 'damaged' : null;
      const glimpse = { state: guest?.state ?? 'absent', reason: null, lostWithHost: false, damage } as const;
      if (correctionOf(recordOf(row), glimpse)) await this.look(row.id, null);
    }
    const deleted: string[] = [];
    for (const id of found.keys()) {
      const row = await findServerEver(db.queries, id, null);
      // Only what the record says was deleted or has left is removed; a guest that nobody knows is left alone and shown by `doctor`.
      if (row?.deleted_at || (row && (await hasLeft(db.queries, id, host)))) deleted.push(id);
      else if (!row) log.warn({ host, instance_id: id }, 'a guest that is in no record');
    }
    return deleted;
  }

  /** Asks the server's host what the guest does, and corrects the record. */
  look(serverId: string, heard: Heard | null): Promise<void> {
    const before = this.#looking.get(serverId) ?? Promise.resolve();
    const look = before.catch(() => undefined).then(() => this.#look(serverId, heard));
    this.#looking.set(serverId, look);
    return look.finally(() => {
      if (this.#looking.get(serverId) === look) this.#looking.delete(serverId);
    });
  }

  async #look(serverId: string, heard: Heard | null): Promise<void> {
    // Who changed the record at the same moment (a lock, a new name) has not seen the guest: it is looked at again.
    for (let look = 0; look < LOOKS; look += 1) if (await this.#lookOnce(serverId, heard)) return;
  }

  /** Answers false when what was seen could not be written, since the record changed meanwhile. */
  async #lookOnce(serverId: string, heard: Heard | null): Promise<boolean> {
    const { db, rpc, log } = this.#options;
    const row = await findServer(db.queries, serverId, null);
    if (!row?.host) return true;
    if (row.task_state !== null) {
      this.#later.add(serverId);
      return true;
    }
    const found = await rpc.client(computeContract, NAME, row.host).inspectGuest({ serverId });
    const told = heard?.state === found.state ? heard.reason : null;
    const correction = correctionOf(recordOf(row), { ...found, reason: found.reason ?? told });
    if (!correction) return true;
    const requestId = newRequestId();
    const startsAgain = this.#options.startLostGuests && ranBefore(row) && found.lostWithHost;
    if (!(await this.#correct(row, correction, requestId, startsAgain))) return false;
    withContext({ requestId, instanceId: serverId }, () =>
      log.info({ host: row.host, state: found.state, reason: correction.reason }, 'guest changed by itself'),
    );
    return true;
  }

  /** `startsAgain`: in the same transaction a stopped guest is told to start, so that nothing comes in between. */
  async #correct(
    row: ServerRow,
    { vmState, powerState, as, reason }: Correction,
    requestId: string,
    startsAgain: boolean,
  ): Promise<boolean> {
    const { db, now, begun } = this.#options;
    const isLost = vmState === 'error' && row.vm_state !== 'error';
    const error = isLost ? new CloudError('hypervisorFailed', { what: `Guest ${row.id}`, reason }) : null;
    const start = startsAgain && vmState === 'stopped' ? newStart(row) : null;
    const isCorrected = await db.transaction(async (trx) => {
      const patch = {
        vm_state: vmState,
        power_state: powerState,
        ...(error && { fault: JSON.stringify({ code: 500, message: error.message, created: now() }) }),
      };
      if (!(await changeIdleServer(trx, row, patch, now()))) return false;
      if (as !== null) {
        const action = { serverId: row.id, projectId: row.project_id, userId: row.user_id, requestId };
        await recordAction(trx, { ...action, kind: as, details: reason, error: error?.toData() ?? null }, now());
      }
      if (start) {
        await takeServer(trx, { ...row, vm_state: vmState }, start, now());
        await insertOperation(trx, start, now());
      }
      return true;
    });
    if (isCorrected && start) begun(start.id);
    return isCorrected;
  }
}

/** The start of a guest that ran when its host went down, in the name of its owner. */
function newStart(row: ServerRow): NewOperation {
  const asked = { serverId: row.id, projectId: row.project_id, userId: row.user_id, requestId: newRequestId() };
  return { ...asked, id: randomUUID(), kind: 'start', version: VERSIONS.start, input: {}, secrets: {} };
}

function recordOf(row: ServerRow) {
  return { vmState: row.vm_state, powerState: row.power_state };
}

/** Not one that was paused, which its owner wanted to stand still. */
function ranBefore(row: ServerRow): boolean {
  return row.vm_state === 'active' && row.power_state === POWER_STATES.running;
}
