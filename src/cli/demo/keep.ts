/** Leaving the demo's cloud up: the process that told the story ends, another takes the data over, the guests run on. */
import { spawn } from 'node:child_process';
import { openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../command-error.ts';

const PATIENCE_MS = 30_000;
const POLL_MS = 50;

/** Starts `micronova up` in the background on data that nobody serves; answers its process id once it is ready. */
export async function serveInBackground(data: string, listen: string): Promise<number> {
  const path = join(data, 'up.log');
  const log = openSync(path, 'w', 0o600);
  const [, main = ''] = process.argv;
  const child = spawn(process.execPath, [main, 'up', '--data', data, '--listen', listen, '--stop-guests'], {
    detached: true,
    stdio: ['ignore', log, log],
  });
  let isGone = false;
  child.once('exit', () => {
    isGone = true;
  });
  const deadline = Date.now() + PATIENCE_MS;
  while (!/^ready /m.test(readFileSync(path, 'utf8'))) {
    if (isGone || Date.now() > deadline) {
      child.kill();
      throw new CommandError(`the cloud did not come up again: ${readFileSync(path, 'utf8')}`);
    }
    await delay(POLL_MS);
  }
  child.unref();
  if (child.pid === undefined) throw new CommandError('the cloud has no process');
  return child.pid;
}
