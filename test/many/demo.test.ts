/** The demo of many hosts, as a newcomer runs it: it tells its story to the end, and nothing of it is left on the machine. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { guestProcesses } from '../cloud.ts';
import { dnsmasqs } from '../dnsmasqs.ts';

const MICRONOVA = new URL('../../bin/micronova', import.meta.url).pathname;

test('three hosts: a server moves cold, one live while it ticks and speaks to the other, a host dies and is evacuated, and all is cleaned up', {
  timeout: 300_000,
}, async (t) => {
  const { code, story, left } = await tell(['--hosts', '3'], () => undefined);
  assert.equal(code, 0, story);
  const [, silence] = /longest time without a tick was (\d+) ms/.exec(story) ?? [];
  t.diagnostic(`longest time without a tick: ${silence} ms`);
  assert.match(story, /first │ written before the move\n.*first │ 2\n/s, 'its disk came along, and it booted there');
  assert.match(story, /it never booted: its memory went with it/);
  assert.match(story, /their connection is still open: \d+ numbers came, in order, none is missing/);
  assert.match(story, /it is ACTIVE on host-\d, from its image/);
  assert.match(story, /No server, no process, no namespace is left/);
  assert.deepEqual(left, []);
});

test('interrupted in the middle, it takes everything away as well', { timeout: 120_000 }, async () => {
  const { code, story, left } = await tell(['--hosts', '2'], (line, interrupt) => {
    if (line.includes('1. Launch two servers')) interrupt();
  });
  assert.equal(code, 1, story);
  assert.doesNotMatch(story, /2\. Cold-migrate/);
  assert.deepEqual(left, []);
});

/** Runs the demo to its end; answers what it said, and what it left: namespaces, bridges, files, guests. */
async function tell(options: readonly string[], onLine: (line: string, interrupt: () => void) => void) {
  const scratch = await mkdtemp(join(tmpdir(), 'micronova-demo-test-'));
  await chmod(scratch, 0o711); // PostgreSQL and QEMU run as users of their own
  try {
    const env = { ...process.env, TMPDIR: scratch };
    const demo = spawn(MICRONOVA, ['demo', ...options], { stdio: ['ignore', 'pipe', 'inherit'], env });
    const ended = once(demo, 'close');
    let story = '';
    createInterface(demo.stdout).on('line', (line) => {
      story += `${line}\n`;
      onLine(line, () => demo.kill('SIGINT'));
    });
    const [code] = await ended;
    const isOurs = (name: string) => name.startsWith(`mn${demo.pid}`);
    const namespaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n').filter(isOurs);
    const devices = (await readdir('/sys/class/net')).filter(isOurs);
    const guests = guestProcesses(scratch).map((pid) => `process ${pid}`);
    const helpers = dnsmasqs(scratch);
    return { code, story, left: [...namespaces, ...devices, ...(await readdir(scratch)), ...guests, ...helpers] };
  } finally {
    await rm(scratch, { recursive: true });
  }
}
