/** The roles `conductor` and `scheduler`. */
import type { ImageClient } from '#http/image-client.ts';
import type { JournalStore } from '#journal/store.ts';
import { Conductor, type ConductorOptions } from '#services/conductor/conductor.ts';
import { Retention } from '#services/conductor/retention.ts';
import { measureRecord } from '#services/health/record-metrics.ts';
import { Scheduler } from '#services/scheduler/scheduler.ts';
import type { WithRecord } from './role.ts';

export type ConductorOverrides = Pick<ConductorOptions, 'operations' | 'backOff' | 'leaseMs' | 'lookEveryMs'>;

export async function startScheduler({ db, rpc, logs, telemetry }: WithRecord): Promise<void> {
  await new Scheduler({ db, rpc, log: logs.of('nova-scheduler'), telemetry }).start();
}

export interface ConductorRole {
  /** Begins to run operations; the hosts of this process have registered by then. */
  resume(): Promise<void>;
  close(): Promise<void>;
}

/** Answers hosts and requests; operations wait for `resume`. `alone`: no other conductor can be alive on this record. */
export async function startConductor(
  { config, db, rpc, logs, telemetry }: WithRecord,
  options: {
    readonly images: ImageClient;
    readonly imageAccess: ConductorOptions['imageAccess'];
    readonly alone: boolean;
    readonly journal?: JournalStore | undefined;
    readonly overrides?: ConductorOverrides | undefined;
  },
): Promise<ConductorRole> {
  const log = logs.of('nova-conductor');
  const conductor = new Conductor({
    db,
    rpc,
    images: options.images,
    imageAccess: options.imageAccess,
    log,
    telemetry,
    startLostGuests: config.start_lost_guests === 'yes',
    reclaimMs: config.reclaim_seconds * 1000,
    offloadMs: config.shelved_offload_seconds * 1000,
    ...(options.journal && { store: options.journal }),
    ...options.overrides,
  });
  await conductor.start({ alone: options.alone });
  measureRecord(db.queries, telemetry.meter);
  const retention = new Retention({ db, log, keepDays: config.keep_deleted_days });
  return {
    async resume() {
      await conductor.resume();
      retention.start();
    },
    async close() {
      await retention.close();
      await conductor.close();
    },
  };
}
