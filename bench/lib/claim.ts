/** A scheduler over a record, without a bus, and what it is asked. */
import { randomUUID } from 'node:crypto';
import pino from 'pino';
import { memoryTransport } from '#bus/memory.ts';
import { Rpc } from '#bus/rpc.ts';
import type { Database } from '#db/database.ts';
import { ANYWHERE } from '#services/scheduler/host-harness.ts';
import type { PlacementRequest } from '#services/scheduler/host-state.ts';
import { Scheduler } from '#services/scheduler/scheduler.ts';
import { timed } from './stats.ts';

export const REQUEST: PlacementRequest = { ...ANYWHERE, availabilityZone: 'nova' };

/** Answers what takes one decision and claim, and tells in ms how long it took; and what ends it, record and all. */
export function claimer(db: Database) {
  const log = pino({ level: 'silent' });
  const transport = memoryTransport();
  const scheduler = new Scheduler({ db, rpc: new Rpc({ transport, log }), log });
  return {
    claim: () => timed(() => scheduler.claimHost({ ...REQUEST, serverId: randomUUID() })),
    close: async () => {
      await transport.close();
      await db.close();
    },
  };
}
