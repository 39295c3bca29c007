/**
 * Kills a cloud at every point of one kind while it works on one request, and looks what became of it: what was accepted
 * must end as done, what was not must have left nothing.
 */
import assert from 'node:assert/strict';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { Client } from '../client.ts';
import { eventually } from '../eventually.ts';
import type { CloudToKill } from './cloud-to-kill.ts';

/** How one operation is begun and judged. */
export interface Scenario {
  readonly kind: OperationKind;
  /** Brings the cloud to where it can begin. */
  prepare(cloud: CloudToKill): Promise<Attempt>;
}

export interface Attempt {
  /** Sends the request; may be cut off. */
  readonly request: (client: Client) => Promise<unknown>;
  /** Throws unless it is as after the operation. */
  readonly done: (cloud: CloudToKill) => Promise<void>;
  /** Throws unless it is as if the request had never come. */
  readonly never: (cloud: CloudToKill) => Promise<void>;
  /** Gives back what it holds, so that the data folder can be used for the next. */
  readonly cleanUp: (cloud: CloudToKill) => Promise<void>;
}

const counts = { points: 0, stuck: 0, leaked: 0 };

/** What the kills of this process came to, for people. */
export function tally(driver: string): string {
  const { points, stuck, leaked } = counts;
  return `${points} ${driver}; stuck ${stuck}, leaked ${leaked}`;
}

/** What is looked at beside the scenario's own, each time. */
export type Extra = (cloud: CloudToKill, moment: 'before' | 'after') => Promise<void>;

/** One kill at `point`; answers false when the operation ended without coming to it. */
export async function killAt(
  cloud: CloudToKill,
  scenario: Scenario,
  point: string,
  options: { readonly again?: string; readonly extra?: Extra } = {},
): Promise<boolean> {
  const attempt = await scenario.prepare(cloud);
  await options.extra?.(cloud, 'before');
  const before = await countOf(cloud, scenario.kind);
  const client = await cloud.demo();
  await cloud.arm(point);
  const answered = attempt.request(client).catch(() => undefined);
  const ended = eventually(`death at ${point}, or the end of ${scenario.kind}`, async () => {
    if (!cloud.isAlive) return true;
    return (await countOf(cloud, scenario.kind)) > before && (await cloud.isAtRest());
  });
  await Promise.race([cloud.death(), ended]);
  await Promise.all([ended, Promise.race([answered, cloud.death()])]);
  // It may also die at the very end, when the record says already that all is done.
  await cloud.arm('none');
  cloud.checkDeath();
  const died = !cloud.isAlive;
  if (died) {
    // Once more while it recovers, where wanted; then in peace.
    if (options.again !== undefined && (await cloud.start(options.again)))
      await Promise.race([cloud.death(), cloud.atRest().catch(() => undefined)]);
    cloud.checkDeath();
    if (!cloud.isAlive) await cloud.start();
  }
  await cloud.arm('none');
  if (died) counts.points += 1;
  await cloud.atRest().catch((error: unknown) => {
    counts.stuck += 1;
    throw new Error(`killed at ${point}: ${(error as Error).message}`);
  });
  const wasAccepted = (await countOf(cloud, scenario.kind)) > before;
  await (wasAccepted ? attempt.done(cloud) : attempt.never(cloud)).catch((error: unknown) => {
    throw new Error(`killed at ${point}: ${(error as Error).message}`, { cause: error });
  });
  const leaks = await cloud.leaks();
  counts.leaked += leaks.length;
  assert.deepEqual(leaks, [], `killed at ${point}`);
  await options.extra?.(cloud, 'after');
  await attempt.cleanUp(cloud);
  return died;
}

async function countOf(cloud: CloudToKill, kind: OperationKind): Promise<number> {
  return cloud.withRecord(async (db) => {
    const rows = await db.queries.selectFrom('operations').select('id').where('kind', '=', kind).execute();
    return rows.length;
  });
}
