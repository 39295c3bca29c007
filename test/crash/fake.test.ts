/**
 * SIGKILL at the points of every operation, with simulated guests: before and after each durable write of the journal, at
 * messages and at changes of files, of which the later ones are sampled. Two clouds die side by side.
 */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { OPERATION_KINDS, type OperationKind } from '#domain/operation/operation.ts';
import { OPERATIONS } from '#operations/catalogue.ts';
import { CloudToKill } from './cloud-to-kill.ts';
import { killAt, tally } from './kill-points.ts';
import { isKilled, registerImage, SETTINGS, scenarios } from './scenarios.ts';

/** The first ones, where an operation is accepted, and fewer and fewer of those behind them. */
const SAMPLED = [1, 2, 4, 7, 11, 17, 26, 40];
/** Of these at least so many are passed; fewer, and the fault was not woven in. */
const AT_LEAST: Readonly<Record<'bus' | 'files', number>> = { bus: 2, files: 1 };
/** With simulated guests a password is in no file. */
const CHANGES_NO_FILE: ReadonlySet<OperationKind> = new Set(['changePassword']);

/** Each step is journaled before it begins, together with the end of the one before; then comes the end of all. */
const journalWrites = (kind: OperationKind) => OPERATIONS[kind].steps.length + 1;

describe('SIGKILL, simulated guests', { concurrency: 2 }, () => {
  after(() => process.stdout.write(`kill points: ${tally('fake')}\n`));

  for (const kind of OPERATION_KINDS.filter(isKilled)) {
    const onCloud = (
      sentence: string,
      body: (kill: (point: string, again?: string) => Promise<boolean>) => Promise<void>,
    ) =>
      test(`${kind}: ${sentence}`, async () => {
        await CloudToKill.during('fake', SETTINGS[kind] ?? {}, async (cloud) => {
          const image = await registerImage(cloud, undefined, { hw_qemu_guest_agent: 'yes' });
          const scenario = scenarios(image)[kind];
          await body((point, again) => killAt(cloud, scenario, point, again === undefined ? {} : { again }));
        });
      });

    onCloud('before and after every write of the journal', async (kill) => {
      for (const when of ['before', 'after']) {
        let kills = 0;
        while (await kill(`journal ${kills + 1} ${when}`)) kills += 1;
        assert.ok(kills >= journalWrites(kind), `${when}: ${kills} kills only`);
      }
      // Once more while it recovers.
      assert.ok(await kill('journal 1 after', 'journal 1 before'));
      assert.ok(await kill('journal 2 before', 'bus 2'));
    });

    onCloud('at messages and at changes of files', async (kill) => {
      for (const event of ['bus', 'files'] as const) {
        let kills = 0;
        for (const point of SAMPLED) {
          if (!(await kill(`${event} ${point}`))) break;
          kills += 1;
        }
        const least = event === 'files' && CHANGES_NO_FILE.has(kind) ? 0 : AT_LEAST[event];
        assert.ok(kills >= least, `${event}: ${kills} kills only`);
      }
    });
  }
});
