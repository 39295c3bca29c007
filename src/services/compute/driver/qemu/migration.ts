/** QEMU's migration, which carries a guest's memory: what all that use it have in common. */

import { setTimeout as delay } from 'node:timers/promises';
import type { QmpClient } from './qmp/client.ts';
import type { MigrationCapability } from './qmp/commands.ts';

/** Makes QEMU wait for the memory, instead of booting, until `migrate-incoming` says where it comes from. */
export const INCOMING = ['-incoming', 'defer'];
/** Far more than anything takes; QEMU's own limit would be 128 MiB a second. */
export const BANDWIDTH = 2 ** 40;
/** States of a migration that has not ended. */
export const UNDER_WAY: ReadonlySet<string> = new Set([
  'setup',
  'active',
  'device',
  'pre-switchover',
  'wait-unplug',
  'cancelling',
]);

const POLL_MS = 10;
/**
 * Of a live one. `return-path`: it has succeeded when the other side says that it has read everything. `auto-converge`: a guest
 * that writes faster than the line takes is slowed down.
 */
const LIVE: readonly MigrationCapability[] = ['events', 'pause-before-switchover', 'auto-converge', 'return-path'];

/** Sets or unsets what a live migration can do beyond one into a file. They stay set, so who migrates says so first. */
export async function setLive(qmp: QmpClient, state: boolean): Promise<void> {
  await qmp.execute('migrate-set-capabilities', { capabilities: LIVE.map((capability) => ({ capability, state })) });
}

/** Ends a migration that somebody began and did not see the end of. None under way: nothing. */
export async function cancelMigration(qmp: QmpClient): Promise<void> {
  for (let asked = false; ; asked = true) {
    const { status } = await qmp.execute('query-migrate');
    if (status === undefined || !UNDER_WAY.has(status)) return;
    if (!asked) await qmp.execute('migrate_cancel');
    await delay(POLL_MS);
  }
}
