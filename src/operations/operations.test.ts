/** Every operation of the catalogue survives repeats, failures and crashes. */
import { testOperation } from '#journal/harness.ts';
import { operationWorld } from '../../test/operation-world.ts';
import { OPERATIONS } from './catalogue.ts';

for (const definition of Object.values(OPERATIONS)) testOperation(definition, () => operationWorld(definition.kind));
