/** Reads the log files back: all services merged, for `micronova logs` and `micronova trace`. */
import { createReadStream, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Hop } from './log.ts';

export interface LogLine {
  /** ISO time, so that lines sort as text. */
  readonly time: string;
  readonly level: string;
  readonly service: string;
  readonly msg: string;
  readonly request_id?: string;
  readonly operation_id?: string;
  readonly instance_id?: string;
  readonly step?: string;
  readonly hop?: Hop;
  readonly [field: string]: unknown;
}

/** The lines of a log folder in order of time; only those of one request, if it is given. Broken lines are left out. */
export async function readLogs(dir: string, requestId?: string): Promise<LogLine[]> {
  if (!existsSync(dir)) return [];
  const lines: LogLine[] = [];
  for (const name of readdirSync(dir)) {
    if (!/\.log(\.1)?$/.test(name)) continue;
    for await (const text of createInterface({ input: createReadStream(join(dir, name)) })) {
      if (requestId !== undefined && !text.includes(requestId)) continue;
      const line = parse(text);
      if (line && (requestId === undefined || line.request_id === requestId)) lines.push(line);
    }
  }
  return lines.sort((a, b) => (a.time < b.time ? -1 : a.time > b.time ? 1 : 0));
}

function parse(text: string): LogLine | null {
  try {
    return JSON.parse(text) as LogLine;
  } catch {
    // The last line of a process that was killed while it wrote.
    return null;
  }
}
