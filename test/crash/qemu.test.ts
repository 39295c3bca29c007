/**
 * SIGKILL of the cloud while real guests are at work: they run on, each by one QEMU, and in the end there is none left.
 *
 * Needs QEMU and the guest image, which the setup brings.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import type { OperationKind } from '#domain/operation/operation.ts';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { guestProcesses } from '../cloud.ts';
import { CloudToKill } from './cloud-to-kill.ts';
import { type Extra, killAt, registerImage, scenarios, tally } from './kill-points.ts';

/** Before QEMU is started and after; as the copy begins, in its middle, before its rename; before and while QEMU is ended. */
const POINTS: Readonly<Record<OperationKind, readonly string[]>> = {
  create: ['journal 3 after', 'journal 4 before'],
  createImage: ['files 2 after', 'files 2 15', 'journal 3 after'],
  delete: ['journal 2 after', 'files 2'],
};

describe('SIGKILL, real guests', () => {
  after(() => process.stdout.write(`kill points: ${tally('qemu')}\n`));

  test('guests outlive the cloud, and nothing else does', async () => {
    await using cloud = await CloudToKill.start('qemu');
    const all = scenarios(await registerImage(cloud, readFileSync(guestImagePath())));
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
