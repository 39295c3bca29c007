/** What is deleted can be restored, and what is shelved keeps its host. */
import { testModel } from './run-model.ts';

testModel('deleted softly, shelved on the host', { deletesSoftly: true, offloadsAtOnce: false });
