/** Waiting without sleeping blindly: a probe is asked until it answers, or the deadline names what never came. */
import { setTimeout as delay } from 'node:timers/promises';

/** Resolves with the first answer that is neither undefined, null nor false. Throws with `what` and the last state. */
export async function eventually<Result>(
  what: string,
  probe: () => Promise<Result | undefined | null | false>,
  options: { readonly withinMs?: number; readonly state?: () => Promise<unknown> } = {},
): Promise<Result> {
  const { withinMs = 15_000 } = options;
  const until = performance.now() + withinMs;
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    const answer = await probe();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (performance.now() > until) {
      const state = options.state ? `; now: ${JSON.stringify(await options.state())}` : '';
      throw new Error(`not within ${withinMs} ms: ${what}${state}`);
    }
    await delay(wait);
  }
}
