/** Load on one URL from a process of its own: `wrk` where it is installed, else `processes/load-client.ts`. */
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { output } from './child.ts';

const CONNECTIONS = 8;

function hasWrk(): boolean {
  try {
    execFileSync('sh', ['-c', 'command -v wrk'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

/** What makes the load, for the report. */
export const LOAD_TOOL = hasWrk() ? 'wrk' : 'own generator';
export const LOAD_HOW = `${LOAD_TOOL}, ${CONNECTIONS} keep-alive connections`;

/** Requests per second that were answered with 200. Throws when any was not. */
export async function requestsPerSecond(
  url: string,
  headers: Readonly<Record<string, string>>,
  seconds: number,
): Promise<number> {
  if (LOAD_TOOL !== 'wrk') {
    const script = fileURLToPath(new URL('../processes/load-client.ts', import.meta.url));
    const args = [script, url, String(CONNECTIONS), String(seconds), JSON.stringify(headers)];
    return Number((await output(process.execPath, args)).trim().split('\n').at(-1));
  }
  const words = Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]);
  const text = await output('wrk', ['-t', '1', '-c', String(CONNECTIONS), '-d', `${seconds}s`, ...words, url]);
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(`load on ${url}: ${text}`);
  return Number(/Requests\/sec:\s*([\d.]+)/.exec(text)?.[1]);
}
