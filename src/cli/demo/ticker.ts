/** How long a guest was not heard of, by what it writes to its console, wherever that is kept. */
import { statSync } from 'node:fs';

const LOOK_EVERY_MS = 4;

/** The longest time in ms in which none of the files grew, from now until `work` is done. */
export async function longestSilence(files: readonly string[], work: () => Promise<void>): Promise<number> {
  const size = () => files.reduce((sum, file) => sum + (statSync(file, { throwIfNoEntry: false })?.size ?? 0), 0);
  let [last, heardAt, longest] = [size(), performance.now(), 0];
  const timer = setInterval(() => {
    const now = size();
    if (now === last) return;
    last = now;
    longest = Math.max(longest, performance.now() - heardAt);
    heardAt = performance.now();
  }, LOOK_EVERY_MS);
  try {
    await work();
    return longest;
  } finally {
    clearInterval(timer);
  }
}
