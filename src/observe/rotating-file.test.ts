import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { rotatingFile } from './rotating-file.ts';

test('a full disk costs lines and not the service', async () => {
  const module = JSON.stringify(new URL('./rotating-file.ts', import.meta.url));
  const program = `
    const { rotatingFile } = await import(${module});
    const file = rotatingFile('/dev/full');
    for (let line = 0; line < 20; line++) {
      file.write('lost\\n');
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    file.flushSync();
    console.log('alive');`;
  const words = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, words, { timeout: 20_000 });
  assert.equal(stdout, 'alive\n');
});

test('a log that was taken away is begun anew', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-log-'));
  const path = join(dir, 'a.log');
  const file = rotatingFile(path, 100);
  const written = async (line: string) => {
    file.write(`${line}\n`);
    while (!(await readFile(path, 'utf8').catch(() => '')).includes(line)) await delay(1);
  };
  await written('first');
  await rm(path);
  file.write(`${'x'.repeat(200)}\n`);
  await delay(1);
  for (;;) {
    file.write('second\n');
    if ((await readFile(path, 'utf8').catch(() => '')).includes('second')) break;
    await delay(5);
  }
  await rm(dir, { recursive: true, force: true });
});
