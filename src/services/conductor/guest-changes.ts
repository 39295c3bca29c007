/** What guests do by themselves, written into the record: a guest that powered off is SHUTOFF, one that died too. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Handlers, Rpc } from '#bus/rpc.ts';
import { computeContract } from '#contracts/compute.ts';
import type { conductorContract } from '#contracts/conductor.ts';
import type { Database } from '#db/database.ts';
import { changeIdleServer } from '#db/repo/servers.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import type { Log } from '#observe/log.ts';

type GuestState = 'absent' | 'stopped' | 'running' | 'paused' | 'crashed';

const LOOK_EVERY_MS = 250;

export function guestChanges({
  db,
  rpc,
  log,
  now,
}: {
  readonly db: Database;
  readonly rpc: Rpc;
  readonly log: Log;
  readonly now: () => number;
}): Pick<Handlers<typeof conductorContract>, 'guestChanged'> {
  return {
    async guestChanged({ host, serverId, state, reason }, { signal }) {
      let changed = await recordGuestState(db, serverId, state, now());
      // While an operation has the server, its record waits; what is true afterwards is asked of the host again, since
      // the operation may have started it meanwhile. Unfinished, the message comes again.
      let hasWaited = false;
      while (!changed && (await isBusy(db, serverId))) {
        hasWaited = true;
        await delay(LOOK_EVERY_MS, undefined, { signal });
      }
      if (hasWaited) {
        const agent = rpc.client(computeContract, 'nova-conductor', host);
        changed = await recordGuestState(
          db,
          serverId,
          (await agent.inspectGuest({ serverId }, { signal })).state,
          now(),
        );
      }
      log.info({ host, instance_id: serverId, state, reason, changed }, 'guest changed by itself');
      return {};
    },
  };
}

/** An operation works on the server; one that waits for a person does not, and may do so for ever. */
async function isBusy(db: Database, serverId: string): Promise<boolean> {
  const row = await db.queries
    .selectFrom('servers')
    .innerJoin('operations', 'operations.id', 'servers.operation_id')
    .select('operations.state')
    .where('servers.id', '=', serverId)
    .where('servers.deleted_at', 'is', null)
    .executeTakeFirst();
  return row !== undefined && row.state !== 'needs_attention';
}

/**
 * Brings an idle server's record to what its host sees. While an operation runs it is that operation's business, and a
 * server in ERROR stays so until somebody decides.
 */
export async function recordGuestState(
  db: Database,
  serverId: string,
  state: GuestState,
  now: number,
): Promise<boolean> {
  const row = await db.queries
    .selectFrom('servers')
    .select(['vm_state', 'power_state'])
    .where('id', '=', serverId)
    .executeTakeFirst();
  if (!row) return false;
  if (row.vm_state === 'active' && (state === 'stopped' || state === 'crashed')) {
    const power = state === 'crashed' ? POWER_STATES.crashed : POWER_STATES.shutdown;
    return changeIdleServer(db.queries, serverId, { vm_state: 'stopped', power_state: power }, now);
  }
  if (row.vm_state === 'stopped' && state === 'running') {
    return changeIdleServer(db.queries, serverId, { vm_state: 'active', power_state: POWER_STATES.running }, now);
  }
  return false;
}
