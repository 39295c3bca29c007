/**
 * Jobs inside QEMU that copy disks, and their block nodes. Both have names that are known beforehand, so that what a killed
 * predecessor left is found.
 */

import { follow } from './follow.ts';
import type { QmpClient } from './qmp/client.ts';
import type { JobInfo } from './qmp/commands.ts';
import { QmpCommandError } from './qmp/errors.ts';

const EVENTS = ['JOB_STATUS_CHANGE'];

/** Waits until `done` says so of the job, which is undefined when there is none of that name (any more). */
export async function watchJob(
  qmp: QmpClient,
  id: string,
  done: (job: JobInfo | undefined) => boolean,
  signal?: AbortSignal,
): Promise<JobInfo | undefined> {
  const look = async () => {
    const job = (await qmp.execute('query-jobs')).find((each) => each.id === id);
    return done(job) ? { job } : undefined;
  };
  return (await follow(qmp, EVENTS, look, signal)).job;
}

/** Cancels a job and takes it away. None: nothing. */
export async function removeJob(qmp: QmpClient, id: string): Promise<void> {
  const job = await watchJob(qmp, id, () => true);
  if (!job) return;
  // Refused when the job has concluded by now, which is just as good.
  if (job.status !== 'concluded') await tolerateRefusal(qmp.execute('block-job-cancel', { device: id, force: true }));
  await watchJob(qmp, id, (current) => !current || current.status === 'concluded');
  await tolerateRefusal(qmp.execute('job-dismiss', { id }));
}

/** Takes away a node that no job uses any more. None: nothing. */
export async function removeNode(qmp: QmpClient, name: string): Promise<void> {
  const nodes = await qmp.execute('query-named-block-nodes', { flat: true });
  if (nodes.some((node) => node['node-name'] === name)) await qmp.execute('blockdev-del', { 'node-name': name });
}

/** For clean-up: QEMU's "no" means that there is nothing left to do; anything else still counts. */
export async function tolerateRefusal(command: Promise<unknown>): Promise<void> {
  try {
    await command;
  } catch (error) {
    if (!(error instanceof QmpCommandError)) throw error;
  }
}
