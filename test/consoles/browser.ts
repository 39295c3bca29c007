/** A real browser without a window: Debian's chromium, installed when it is not there. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';

const PROGRAM = '/usr/bin/chromium';

/** Throws one clear line when there is none and it cannot be had. */
export async function startBrowser(): Promise<Browser> {
  needBrowser();
  // Root has no sandbox of its own to give, and the page is ours.
  return chromium.launch({ executablePath: PROGRAM, args: ['--no-sandbox', '--disable-gpu'] });
}

function needBrowser(): void {
  if (existsSync(PROGRAM)) return;
  const setup = spawnSync(join(import.meta.dirname, '../../tools/setup.sh'), ['--also', 'chromium'], {
    encoding: 'utf8',
  });
  if (setup.status !== 0)
    throw new Error(`chromium is not there and cannot be installed: ${setup.stderr.trim().split('\n').at(-1)}`);
}
