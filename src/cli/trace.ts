/** `micronova trace <request-id>`: the way of a request, as a sequence diagram with times. */
import { join } from 'node:path';
import { readLogs } from '#observe/log-reader.ts';
import { arrowsOf, drawTimeline } from '#observe/timeline.ts';
import { CommandError } from './command-error.ts';

export async function trace(requestId: string, options: { readonly data: string }): Promise<void> {
  const lines = drawTimeline(arrowsOf(await readLogs(join(options.data, 'logs'), requestId)));
  if (lines.length === 0) throw new CommandError(`the logs in ${options.data} know no request ${requestId}`);
  process.stdout.write(`${lines.join('\n')}\n`);
}
