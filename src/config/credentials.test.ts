/** `clouds.yaml` and `openrc`: private, complete, and their passwords outlive a restart. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { load } from 'js-yaml';
import { writeCredentials } from './credentials.ts';

/** A folder of the test's own. */
function folder(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-credentials-'));
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

const clouds = (dir: string) =>
  (load(readFileSync(join(dir, 'clouds.yaml'), 'utf8')) as { clouds: Record<string, { auth: Record<string, string> }> })
    .clouds;

test('both files are their owner’s only', (t) => {
  const dir = folder(t);
  writeCredentials(dir, { url: 'http://127.0.0.1:1' }, { admin: 'a', demo: 'd' });
  for (const name of ['clouds.yaml', 'openrc']) assert.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name);
});

test('another address keeps the passwords', (t) => {
  const dir = folder(t);
  writeCredentials(dir, { url: 'http://127.0.0.1:1' }, { admin: 'a', demo: 'd' });
  writeCredentials(dir, { url: 'http://127.0.0.1:2' }, {});
  const { micronova, 'micronova-admin': admin } = clouds(dir);
  assert.equal(micronova?.auth.auth_url, 'http://127.0.0.1:2/identity');
  assert.deepEqual([micronova?.auth.password, admin?.auth.password], ['d', 'a']);
});

test('a shell that reads openrc is the administrator, or demo when asked', (t) => {
  const dir = folder(t);
  writeCredentials(dir, { url: 'http://127.0.0.1:1' }, { admin: 'a-b_c', demo: 'd' });
  const shell = (env: Record<string, string>) =>
    execFileSync('sh', ['-c', `. ${join(dir, 'openrc')}; echo $OS_USERNAME $OS_PASSWORD $OS_AUTH_URL`], {
      env: { PATH: process.env.PATH ?? '', ...env },
      encoding: 'utf8',
    }).trim();
  assert.equal(shell({}), 'admin a-b_c http://127.0.0.1:1/identity/v3');
  assert.equal(shell({ MICRONOVA_USER: 'demo' }), 'demo d http://127.0.0.1:1/identity/v3');
});

test('without any password there is nothing to say', (t) => {
  const dir = folder(t);
  writeCredentials(dir, { url: 'http://127.0.0.1:1' }, {});
  assert.deepEqual(clouds(dir), {});
  assert.equal(existsSync(join(dir, 'openrc')), false);
});

test('clients are told whom to believe', (t) => {
  const dir = folder(t);
  writeCredentials(dir, { url: 'https://127.0.0.1:1', ca: '/etc/ca.pem' }, { admin: 'a', demo: 'd' });
  assert.match(readFileSync(join(dir, 'clouds.yaml'), 'utf8'), /^ {4}cacert: \/etc\/ca\.pem$/m);
  const said = execFileSync('sh', ['-c', '. ./openrc; echo "$OS_CACERT"'], { cwd: dir, encoding: 'utf8' });
  assert.equal(said.trim(), '/etc/ca.pem');
});
