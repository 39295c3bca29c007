/** Following what goes on inside QEMU. */

import { setTimeout as delay } from 'node:timers/promises';
import type { QmpClient } from './qmp/client.ts';

/** Events say when to look; this is for those that were missed, and for progress, which has none. */
const LOOK_MS = 200;

/**
 * Looks at once, at each of these events, on the signal and every now and then, until `look` has an answer. Rejects with what
 * `look` throws, which is also how a signal or the end of QEMU gets out of here.
 */
export async function follow<T>(
  qmp: QmpClient,
  events: readonly string[],
  look: () => Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T> {
  let wake = () => {};
  const stop = qmp.onEvent(({ event }) => {
    if (events.includes(event)) wake();
  });
  const onAbort = () => wake();
  signal?.addEventListener('abort', onAbort);
  try {
    for (;;) {
      const woken = Promise.withResolvers<void>();
      wake = woken.resolve; // before looking: a change meanwhile must not be missed
      const answer = await look();
      if (answer !== undefined) return answer;
      await Promise.race([woken.promise, delay(LOOK_MS), qmp.closed]);
    }
  } finally {
    stop();
    signal?.removeEventListener('abort', onAbort);
  }
}
