/** Record against reality, exhaustively: every state of the record × what is found × damage × a restart of the host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { correctionOf, type FoundGuest } from './reconcile.ts';
import { POWER_STATES, VM_STATES, type VmState } from './states.ts';

const FOUND = ['absent', 'stopped', 'running', 'paused', 'suspended', 'crashed'] as const;

interface Case {
  readonly vmState: VmState;
  readonly powerState: number;
  readonly found: FoundGuest;
}

const CASES: readonly Case[] = VM_STATES.flatMap((vmState) =>
  Object.values(POWER_STATES).flatMap((powerState) =>
    FOUND.flatMap((state) =>
      [null, 'its disk is missing'].flatMap((damage) =>
        [null, 'guest powered off'].flatMap((reason) =>
          [false, true].map((lostWithHost) => ({
            vmState,
            powerState,
            found: { state, damage, reason, lostWithHost },
          })),
        ),
      ),
    ),
  ),
);

/** The state and power that the record must have: a pair, or null where it must stay as it is. */
function expected({ vmState, powerState, found }: Case): readonly [VmState, number] | null {
  const { state, damage } = found;
  // Being built, on no host, or deleted: a person or an operation decides.
  if (['building', 'shelved', 'shelved_offloaded', 'soft-delete', 'deleted'].includes(vmState)) return null;
  // Broken already it stays so, until a person decides; what its guest does is shown.
  const power = { absent: 0, running: 1, paused: 3, suspended: 4, stopped: 4, crashed: 6 }[state];
  if (vmState === 'error') return powerState === power ? null : ['error', power];
  // What was moved can be brought back from where it came from, whatever became of it.
  if (vmState === 'resized') return powerState === power ? null : ['resized', power];
  if (state === 'absent') return ['error', 0];
  // What executes or stands still in memory lives on without its files; what must be started from them cannot.
  if (damage !== null && state !== 'running' && state !== 'paused') return ['error', power];
  const wanted = (
    {
      running: ['active', 1],
      paused: ['paused', 3],
      suspended: ['suspended', 4],
      stopped: ['stopped', 4],
      crashed: ['stopped', 6],
    } as const
  )[state];
  // It is rescued until its own disk is the first again; only what its guest does is shown.
  if (vmState === 'rescued') return powerState === wanted[1] ? null : ['rescued', wanted[1]];
  return vmState === wanted[0] && powerState === wanted[1] ? null : wanted;
}

test('the record follows the guest, and only where a guest has something to say', () => {
  for (const each of CASES) {
    const correction = correctionOf(each, each.found);
    const got = correction && [correction.vmState, correction.powerState];
    assert.deepEqual(got, expected(each), JSON.stringify(each));
  }
});

const isOff = ({ state }: FoundGuest) => state === 'stopped' || state === 'crashed' || state === 'suspended';

test('a correction is made once: after it the record is right', () => {
  for (const { vmState, powerState, found } of CASES) {
    const correction = correctionOf({ vmState, powerState }, found);
    if (correction) assert.equal(correctionOf(correction, found), null, JSON.stringify({ vmState, found }));
  }
});

test('the owner reads why: the loss where something is lost, else what the host said, else the restart', () => {
  for (const each of CASES) {
    const { found } = each;
    const correction = correctionOf(each, found);
    if (!correction || correction.as === null) continue;
    const wanted =
      found.state === 'absent'
        ? /files are gone/
        : correction.vmState === 'error' || (found.damage !== null && correction.vmState === 'resized' && isOff(found))
          ? /its disk is missing/
          : found.reason !== null
            ? /^guest powered off$/
            : found.lostWithHost && ['stopped', 'crashed'].includes(found.state)
              ? /host restarted/
              : /\w+ \w+/;
    assert.match(correction.reason, wanted, JSON.stringify(each));
  }
});

test('where only the power state was wrong nobody did anything', () => {
  for (const each of CASES) {
    const correction = correctionOf(each, each.found);
    if (!correction || each.vmState === 'rescued' || each.vmState === 'resized') continue;
    assert.equal(correction.as === null, correction.vmState === each.vmState, JSON.stringify(each));
  }
});

test('it shows as the action that would have led there', () => {
  const as = (vmState: VmState, state: FoundGuest['state']) =>
    correctionOf(
      { vmState, powerState: vmState === 'paused' ? 3 : 1 },
      { state, damage: null, reason: null, lostWithHost: false },
    )?.as;
  assert.deepEqual(
    [
      as('active', 'crashed'),
      as('active', 'stopped'),
      as('paused', 'stopped'),
      as('active', 'paused'),
      as('active', 'suspended'),
      as('active', 'absent'),
      as('stopped', 'running'),
      as('paused', 'running'),
      as('suspended', 'running'),
    ],
    ['stop', 'stop', 'stop', 'pause', 'suspend', 'stop', 'start', 'unpause', 'resume'],
  );
});
