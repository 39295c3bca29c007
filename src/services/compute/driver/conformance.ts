/**
 * What every driver must do, checked by its effects: each method once and twice, from every state, across the death of the
 * process that used it. A new driver is right when this passes, and the agent may rely on nothing else.
 */

import { describe } from 'node:test';
import type { Driver } from './driver.ts';
import { accessConformance } from './testing/access.ts';
import { backupConformance } from './testing/backup.ts';
import { benchOf, type Subject } from './testing/bench.ts';
import { cardConformance } from './testing/cards.ts';
import { lifeConformance } from './testing/life.ts';
import { memoryConformance } from './testing/memory.ts';
import { movingConformance } from './testing/moving.ts';
import { specConformance } from './testing/specification.ts';

export { childAt, processesIn, until } from './testing/bench.ts';

/** Registers the suite with node:test. `setup` is called before each test. */
export function driverConformance<D extends Driver>(name: string, setup: () => Subject<D> | Promise<Subject<D>>): void {
  describe(`${name} driver: conformance`, { concurrency: false }, () => {
    const bench = benchOf(setup);
    lifeConformance(bench);
    memoryConformance(bench);
    specConformance(bench);
    cardConformance(bench);
    movingConformance(bench);
    backupConformance(bench);
    accessConformance(bench);
  });
}
