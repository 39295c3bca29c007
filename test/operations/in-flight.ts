/** Operations held up in the middle: a guest whose driver hangs in one call, while an operation waits for it. */
import type { FaultPoint } from '#services/compute/driver/fake/faults.ts';
import type { TestCloud } from '../cloud.ts';
import type { TestServer } from '../server.ts';
import { type Photo, photoOf } from './photo.ts';

/** How an operation comes to hang: from which state, by which request, in which call of the driver. */
export interface InFlight {
  readonly from: readonly (readonly [status: string, action: string])[];
  readonly action: string;
  readonly argument?: unknown;
  readonly hangsAt: FaultPoint;
  /** Past its point of no return it goes on to its end. */
  readonly endsAs?: 'done';
}

/** One of each kind that a server that exists can be in the middle of. */
export const IN_FLIGHT = {
  start: { from: [['SHUTOFF', 'os-stop']], action: 'os-start', hangsAt: 'start' },
  stop: { from: [], action: 'os-stop', hangsAt: 'stop' },
  reboot: { from: [], action: 'reboot', argument: { type: 'SOFT' }, hangsAt: 'reboot' },
  hardReboot: { from: [], action: 'reboot', argument: { type: 'HARD' }, hangsAt: 'start' },
  pause: { from: [], action: 'pause', hangsAt: 'pause' },
  unpause: { from: [['PAUSED', 'pause']], action: 'unpause', hangsAt: 'start' },
  suspend: { from: [], action: 'suspend', hangsAt: 'suspend' },
  resume: { from: [['SUSPENDED', 'suspend']], action: 'resume', hangsAt: 'start' },
  rescue: { from: [], action: 'rescue', hangsAt: 'reconfigure' },
  unrescue: { from: [['RESCUE', 'rescue']], action: 'unrescue', hangsAt: 'revert', endsAs: 'done' },
  rebuild: { from: [], action: 'rebuild', hangsAt: 'reconfigure' },
  shelve: { from: [], action: 'shelve', hangsAt: 'backupDisk' },
  unshelve: { from: [['SHELVED_OFFLOADED', 'shelve']], action: 'unshelve', hangsAt: 'create' },
  createImage: { from: [], action: 'createImage', argument: { name: 'snap' }, hangsAt: 'backupDisk' },
  createBackup: {
    from: [],
    action: 'createBackup',
    argument: { name: 'backup', backup_type: 'daily', rotation: 1 },
    hangsAt: 'backupDisk',
  },
  changePassword: { from: [], action: 'changePassword', argument: { adminPass: 'x' }, hangsAt: 'setPassword' },
} as const satisfies Record<string, InFlight>;

export type InFlightKind = keyof typeof IN_FLIGHT;

/** A server in the middle of it, as it was before, and the request that began it. */
export async function inFlight(
  cloud: TestCloud,
  kind: InFlightKind,
  image: string,
): Promise<{ readonly server: TestServer; readonly before: Photo; readonly requestId: string }> {
  const { from, action, argument, hangsAt }: InFlight = IN_FLIGHT[kind];
  const server = await cloud.server({ image }).active();
  for (const [status, earlier] of from) {
    await server.act(earlier);
    await server.is(status);
  }
  const before = await photoOf(cloud, server.id);
  cloud.driver.setFault(server.id, { blockAt: [hangsAt] });
  // The answer may wait for the image; the operation is there before.
  server.ask(action, argument ?? (kind === 'rebuild' ? { imageRef: image } : null)).catch(() => undefined);
  await cloud.waitFor(`${kind} hangs`, async () => cloud.driver.isHanging(server.id, hangsAt));
  const [newest] = await cloud.db.queries
    .selectFrom('operations')
    .select('request_id')
    .where('server_id', '=', server.id)
    .where('finished_at', 'is', null)
    .execute();
  return { server, before, requestId: newest?.request_id ?? '' };
}

/**
 * Resolves when what hangs has heard that it shall be undone: one that is let go before has every right to end as it was
 * asked to.
 */
export async function turnsRound(cloud: TestCloud, requestId: string): Promise<void> {
  await cloud.waitFor(`${requestId} turns round`, async () => {
    const operation = await cloud.db.queries
      .selectFrom('operations')
      .select('state')
      .where('request_id', '=', requestId)
      .executeTakeFirst();
    return operation?.state !== 'running';
  });
}
