/** A request's timeline, indented, in the demo's story. */
import { join } from 'node:path';
import { styleText } from 'node:util';
import { readLogs } from '#observe/log-reader.ts';
import { arrowsOf, drawTimeline } from '#observe/timeline.ts';

export async function printTimeline(dataDir: string, requestId: string): Promise<void> {
  const lines = drawTimeline(arrowsOf(await readLogs(join(dataDir, 'logs'), requestId)));
  process.stdout.write(`\n  ${styleText('dim', `micronova trace ${requestId}`)}\n`);
  for (const line of lines) process.stdout.write(`  ${line}\n`);
  process.stdout.write('\n');
}
