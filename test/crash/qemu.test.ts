/**
 * SIGKILL of the cloud while real guests are at work: they run on, each by one QEMU, and in the end there is none left.
 *
 * Needs QEMU and the guest image, which the setup brings.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { guestProcesses } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { CloudToKill } from './cloud-to-kill.ts';
import { type Extra, killAt, tally } from './kill-points.ts';
import { isKilled, type Killed, registerImage, SETTINGS, scenarios } from './scenarios.ts';

/** A sample: before QEMU is started and after, in the middle of a copy or of memory on its way to disk, before and while QEMU is ended. */
const POINTS: Readonly<Record<Killed, readonly string[]>> = {
  create: ['journal 3 after', 'journal 4 before'],
  delete: ['journal 2 after', 'files 2'],
  forceDelete: ['files 1'],
  softDelete: ['journal 3 before'],
  restore: ['journal 2 before'],
  start: ['journal 1 after', 'journal 2 before'],
  stop: ['bus 3', 'journal 2 before'],
  forceStop: ['journal 3 before'],
  reboot: ['bus 3', 'journal 2 before'],
  hardReboot: ['files 1', 'journal 3 before'],
  pause: ['journal 2 before'],
  unpause: ['journal 2 before'],
  suspend: ['files 2', 'files 3', 'files 5', 'journal 2 before'],
  resume: ['files 2', 'files 3', 'journal 2 before'],
  rescue: ['files 2', 'files 4 after', 'journal 4 after'],
  unrescue: ['journal 2 after', 'files 3', 'journal 3 after'],
  rebuild: ['files 2', 'files 4 after', 'journal 4 after', 'journal 5 after'],
  shelve: ['files 2', 'journal 3 after', 'journal 6 after'],
  shelveOffload: ['journal 2 after'],
  unshelve: ['files 2', 'journal 3 after'],
  createImage: ['files 2 after', 'files 2 15', 'journal 3 after'],
  createBackup: ['files 2', 'journal 4 after'],
  changePassword: ['journal 1 after'],
  attachInterface: ['journal 2 before', 'journal 2 after', 'journal 3 before'],
  detachInterface: ['journal 2 before', 'journal 3 before'],
  resize: ['files 2', 'journal 3 after', 'journal 5 after'],
  liveMigrate: ['journal 2 after', 'journal 3 before', 'journal 4 after', 'journal 5 before'],
  migrate: ['files 2', 'journal 3 after', 'journal 5 after'],
  confirmResize: ['journal 1 after'],
  revertResize: ['files 2', 'journal 2 after'],
};

/** A guest that hears nothing yet is given up soon. */
const QUICK = { shutdown_seconds: 1 };

describe('SIGKILL, real guests', () => {
  after(() => process.stdout.write(`kill points: ${tally('qemu')}\n`));

  for (const [setting, kinds] of Map.groupBy(OPERATION_KINDS.filter(isKilled), (kind) =>
    JSON.stringify(SETTINGS[kind] ?? {}),
  )) {
    test(`guests outlive the cloud, and nothing else does: ${kinds.join(', ')}`, async () => {
      await CloudToKill.during('qemu', { ...QUICK, ...JSON.parse(setting) }, async (cloud) => {
        const bytes = readFileSync(guestImagePath());
        const image = await registerImage(cloud, bytes, { hw_qemu_guest_agent: 'yes' });
        const all = scenarios(image, agentAnswers);
        for (const kind of kinds) {
          for (const point of POINTS[kind]) {
            const killed = await killAt(cloud, all[kind], point, { extra: sameGuests(kind) });
            assert.ok(killed, `${kind} did not come to ${point}`);
          }
        }
        assert.deepEqual(guestProcesses(cloud.data), []);
        // Nor a namespace, device, rule, helper or address of the servers that are gone.
        assert.deepEqual(await cloud.leaks(), []);
      });
    });
  }
});

/** A guest sets a password, and lets go of a card, once it has booted. */
const ASK_THE_GUEST: readonly OperationKind[] = ['changePassword', 'detachInterface'];

/** It has when its agent answers. */
async function agentAnswers(cloud: CloudToKill, kind: OperationKind, id: string): Promise<void> {
  if (!ASK_THE_GUEST.includes(kind)) return;
  const demo = await cloud.demo();
  const path = `/compute/v2.1/servers/${id}/action`;
  const isSet = async () => {
    await demo.ok('POST', path, { json: { changePassword: { adminPass: 'first' } } });
    await cloud.atRest();
    const rows = await cloud.withRecord((db) =>
      db.queries.selectFrom('operations').select('state').where('server_id', '=', id).orderBy('created_at').execute(),
    );
    return rows.at(-1)?.state === 'done';
  };
  await eventually('the agent answers', isSet, { withinMs: 90_000 });
}

/** Statuses of servers that have a QEMU. */
const WITH_PROCESS = ['ACTIVE', 'PAUSED', 'RESCUE', 'VERIFY_RESIZE'];
/** What a guest goes through in one and the same QEMU. */
const SAME_PROCESS: readonly OperationKind[] = ['createImage', 'createBackup', 'pause', 'unpause', 'changePassword'];

/** One QEMU for each server that has one at all; where nothing ends it, the same. */
function sameGuests(kind: OperationKind): Extra {
  let pids: readonly number[] = [];
  return async (cloud, moment) => {
    const now = guestProcesses(cloud.data);
    const path = '/compute/v2.1/servers/detail';
    const { servers } = await (await cloud.demo()).ok<{ servers: { status: string }[] }>('GET', path);
    const alive = servers.filter(({ status }) => WITH_PROCESS.includes(status));
    assert.equal(now.length, alive.length, 'one QEMU for each server that runs');
    if (moment === 'before') pids = now;
    else if (SAME_PROCESS.includes(kind)) assert.deepEqual(now, pids, 'the guest runs on');
  };
}
