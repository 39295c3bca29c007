import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Envelope, Outcome } from './envelope.ts';
import { type Work, WorkMemory } from './work-memory.ts';

const envelope = (id: string) => ({ messageId: id, key: id, replyTo: 'inbox' }) as Envelope;
const work = (result: Promise<Outcome>, ended: boolean): Work => ({
  result,
  ended,
  abort: new AbortController(),
  waiting: new Map(),
  reported: { last: null },
});

test('work that takes for ever does not keep what came after it', () => {
  const memory = new WorkMemory();
  memory.join(envelope('for ever'), () => work(new Promise(() => {}), false));
  const begun = new Set<string>();
  const ask = (id: string) =>
    memory.join(envelope(id), () => {
      begun.add(id);
      return work(Promise.resolve({ type: 'done', output: {} }), true);
    });
  for (let index = 0; index < 5_000; index++) ask(`${index}`);
  begun.clear();
  ask('0');
  ask('4999');
  memory.join(envelope('for ever'), () => assert.fail('it is still in hand'));
  assert.deepEqual([...begun], ['0'], 'the oldest is forgotten, the newest is not');
});
