/** Every operation of the catalogue survives repeats, failures and crashes; and a bus that doubles and reorders. */
import { testBegunAndFailed, testOperation } from '#journal/harness.ts';
import { operationWorld } from '../../test/operation-world.ts';
import { OPERATIONS } from './catalogue.ts';

/** Each message comes twice, both copies late by up to 15 ms, so that they overtake each other. */
function doubling() {
  let sent = 0;
  return { duplicate: () => true, delayMs: () => (sent++ * 7) % 16 };
}

for (const definition of Object.values(OPERATIONS)) {
  testOperation(definition, () => operationWorld(definition.kind));
  testBegunAndFailed(`${definition.kind}, doubled messages`, definition, () =>
    operationWorld(definition.kind, doubling()),
  );
}
