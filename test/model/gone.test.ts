/** What is deleted is gone, and what is shelved leaves its host. */
import { testModel } from './run-model.ts';

testModel('deleted at once, shelved off the host', { deletesSoftly: false, offloadsAtOnce: true });
