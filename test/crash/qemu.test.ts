/**
 * SIGKILL of the cloud while real guests are at work: they run on, each by one QEMU, and in the end there is none left.
 *
 * Needs QEMU and the guest image (`MICRONOVA_GUEST_IMAGE`); skipped where there is neither.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import type { OperationKind } from '#domain/operation/operation.ts';
import { guestProcesses } from '../cloud.ts';
import { CloudToKill } from './cloud-to-kill.ts';
import { type Extra, killAt, registerImage, scenarios, tally } from './kill-points.ts';

const GUEST = process.env.MICRONOVA_GUEST_IMAGE ?? join(homedir(), '.cache/micronova/guest.qcow2');

/** Before QEMU is started and after; as the copy begins, in its middle, before its rename; before and while QEMU is ended. */
const POINTS: Readonly<Record<OperationKind, readonly string[]>> = {
  create: ['journal 4 after', 'journal 5 before'],
  createImage: ['files 2 after', 'files 2 15', 'journal 3 after'],
  delete: ['journal 2 after', 'files 2'],
};

describe('SIGKILL, real guests', { skip: existsSync(GUEST) ? false : `no guest image at ${GUEST}` }, () => {
  after(() => process.stdout.write(`kill points: ${tally('qemu')}\n`));

  test('guests outlive the cloud, and nothing else does', async () => {
    await using cloud = await CloudToKill.start('qemu');
    const all = scenarios(await registerImage(cloud, readFileSync(GUEST)));
    for (const kind of ['create', 'createImage', 'delete'] as const) {
      for (const point of POINTS[kind]) {
        const killed = await killAt(cloud, all[kind], point, { extra: sameGuests(kind) });
        assert.ok(killed, `${kind} did not come to ${point}`);
      }
    }
    assert.deepEqual(guestProcesses(cloud.data), []);
  });
});

/** One QEMU for each server at any time, and during a snapshot the same. */
function sameGuests(kind: OperationKind): Extra {
  let pids: readonly number[] = [];
  return async (cloud, moment) => {
    const now = guestProcesses(cloud.data);
    const client = await cloud.demo();
    const { servers } = await client.ok<{ servers: unknown[] }>('GET', '/compute/v2.1/servers');
    assert.equal(now.length, servers.length, 'one QEMU for each server');
    if (moment === 'before') pids = now;
    else if (kind === 'createImage') assert.deepEqual(now, pids, 'the guest runs on');
  };
}
