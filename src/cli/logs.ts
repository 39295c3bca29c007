/** `micronova logs`: all services' lines in order of time. */
import { join } from 'node:path';
import { readLogs } from '#observe/log-reader.ts';

const SHOWN_FIRST = new Set(['time', 'level', 'service', 'msg']);

export async function logs(options: { readonly data: string; readonly request?: string }): Promise<void> {
  for (const line of await readLogs(join(options.data, 'logs'), options.request)) {
    const rest = Object.entries(line).filter(([key]) => !SHOWN_FIRST.has(key));
    const fields = rest
      .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`)
      .join(' ');
    process.stdout.write(`${line.time} ${line.level.padEnd(5)} ${line.service.padEnd(14)} ${line.msg}  ${fields}\n`);
  }
}
