/** The same as `network.test.ts`, all of it by an ordinary user: the cloud, its networks and its guests. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { asNobody } from '../ordinary-user.ts';

const CASES = join(import.meta.dirname, 'network.test.ts');
const isRoot = process.geteuid?.() === 0;

test('an ordinary user has networks as root has', {
  timeout: 600_000,
  skip: isRoot ? false : 'network.test.ts is that already',
}, async () => {
  const home = mkdtempSync(join(tmpdir(), 'mn-'));
  try {
    const image = join(home, 'guest.qcow2');
    copyFileSync(guestImagePath(), image);
    chmodSync(image, 0o644);
    const [program = '', ...words] = asNobody(home);
    const env = { PATH: process.env.PATH, LANG: 'C.UTF-8', HOME: home, TMPDIR: home, MICRONOVA_GUEST_IMAGE: image };
    const { promise, resolve } = Promise.withResolvers<string>();
    const child = execFile(
      program,
      [...words, process.execPath, '--test', '--test-reporter', 'spec', CASES],
      { env, maxBuffer: 64 * 2 ** 20 },
      (_error, stdout, stderr) => resolve(`${stdout}${stderr}`),
    );
    const said = await promise;
    assert.equal(child.exitCode, 0, said);
    assert.match(said, /^ℹ skipped 0$/m);
    assert.match(said, /^ℹ pass [1-9]/m);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
