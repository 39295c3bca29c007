/**
 * Copying the disks of a guest that executes to another host, where the same empty layers lie over the same bases.
 *
 * One `blockdev-mirror` per disk writes over NBD; once it is ready, it follows what the guest writes, and is through soon after the
 * guest stands still. Jobs and nodes have constant names: each guest has its own QEMU.
 *
 * In the background, never `write-blocking`: with QEMU 7.2 a job of that kind that fails or is cancelled while the guest writes uses
 * memory that it has freed, and takes the guest with it.
 */

import { DriverError } from '../driver-error.ts';
import { FILES, nodeOf } from './argv.ts';
import { removeJob, removeNode, watchJob } from './block-job.ts';
import type { QmpClient } from './qmp/client.ts';
import type { JobInfo } from './qmp/commands.ts';

/** Job and node of a disk, by its place. */
const JOB = /^move-\d+$/;
const nameOf = (index: number) => `move-${index}`;

/**
 * Begins to copy the disk of that place to the export of that name, of which QEMU's next connection is one; 0 bytes per second are
 * no limit.
 */
export async function beginMirror(qmp: QmpClient, index: number, name: string, bytesPerSecond: number): Promise<void> {
  await qmp.execute('blockdev-add', {
    driver: 'nbd',
    'node-name': nameOf(index),
    server: { type: 'unix', path: FILES.outgoingDisks },
    export: name,
    discard: 'unmap',
  });
  await qmp.execute('blockdev-mirror', {
    'job-id': nameOf(index),
    device: nodeOf(index),
    target: nameOf(index),
    sync: 'top',
    'copy-mode': 'background',
    speed: bytesPerSecond,
    'auto-dismiss': false, // the outcome can be asked for even if its event was missed
  });
}

/** The jobs there are; throws for one that has failed. */
export async function lookAtMirrors(qmp: QmpClient): Promise<readonly JobInfo[]> {
  const jobs = (await qmp.execute('query-jobs')).filter(({ id }) => JOB.test(id));
  for (const { error, status } of jobs)
    if (error !== undefined || status === 'concluded')
      throw new DriverError('command_failed', `A disk could not be copied: ${error ?? 'its job ended'}`);
  return jobs;
}

/** Copies the last of ready mirrors and ends them; both sides stay the same as long as the guest does not execute. */
export async function completeMirrors(qmp: QmpClient): Promise<void> {
  const ids = (await lookAtMirrors(qmp)).map(({ id }) => id);
  // Without force this completes one that is ready.
  for (const id of ids) await qmp.execute('block-job-cancel', { device: id, force: false });
  for (const id of ids) {
    const job = await watchJob(qmp, id, (current) => !current || current.status === 'concluded');
    if (!job || job.error !== undefined)
      throw new DriverError('command_failed', `A disk was not copied to its end: ${job?.error ?? 'its job is gone'}`);
    await qmp.execute('job-dismiss', { id });
    await removeNode(qmp, id); // which flushes
  }
}

/** Takes jobs and nodes away, as far as there are any. */
export async function removeMirrors(qmp: QmpClient): Promise<void> {
  const jobs = (await qmp.execute('query-jobs')).map(({ id }) => id);
  for (const id of jobs) if (JOB.test(id)) await removeJob(qmp, id);
  const nodes = (await qmp.execute('query-named-block-nodes', { flat: true })).map((node) => node['node-name'] ?? '');
  for (const name of nodes) if (JOB.test(name)) await removeNode(qmp, name);
}
