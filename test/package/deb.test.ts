/** The Debian package: the same bytes from the same commit, nothing of the machine that made it, units that systemd takes. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { globSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { parse } from 'smol-toml';
import { ConfigSchema } from '#config/config.ts';
import { configExample } from '../../tools/docs/config-example.ts';

const dir = mkdtempSync(join(tmpdir(), 'micronova-deb-'));
const root = join(dir, 'root');
const run = (command: string, ...words: readonly string[]) => execFileSync(command, words, { encoding: 'utf8' });
let deb = '';

before(() => {
  deb = build('first');
  run('dpkg-deb', '--raw-extract', deb, root);
});
after(() => rmSync(dir, { recursive: true }));

function build(folder: string): string {
  mkdirSync(join(dir, folder));
  return run(process.execPath, 'tools/package/deb.ts', join(dir, folder)).trim();
}

describe('the Debian package', { timeout: 120_000 }, () => {
  test('is the same when it is made again, under another umask', () => {
    const umask = process.umask(0o077);
    try {
      assert.ok(readFileSync(build('second')).equals(readFileSync(deb)));
    } finally {
      process.umask(umask);
    }
  });

  test('has no path of this machine, no test, no tool in it', () => {
    const files = globSync('**', { cwd: root }).filter((file) => statSync(join(root, file)).isFile());
    const own = Buffer.from(process.cwd());
    assert.ok(files.length > 1000, `${files.length} files`);
    assert.deepEqual(
      files.filter((file) => readFileSync(join(root, file)).includes(own)),
      [],
    );
    assert.deepEqual(
      files.filter((file) => /micronova\/src\/.*\.test\.ts$|node_modules\/(typescript|@biomejs|@types)\//.test(file)),
      [],
    );
  });

  test('runs from where it is unpacked, under its own Node', () => {
    const help = run('env', '-i', 'PATH=/usr/bin:/bin', join(root, 'usr/bin/micronova'), '--help');
    assert.match(help, /serve .*some roles/);
  });

  test('explains every setting, with its default', () => {
    const example = readFileSync(join(root, 'etc/micronova/micronova.toml'), 'utf8');
    assert.equal(example, configExample());
    assert.deepEqual(Object.keys(parse(example)), [], 'as it is, it says nothing');
    const set = parse(example.replaceAll(/^#(?=[a-z])/gm, ''));
    const defaults = Object.entries(ConfigSchema.properties).map(([key, schema]) => [
      key,
      (schema as { default?: unknown }).default,
    ]);
    assert.deepEqual({ ...set }, Object.fromEntries(defaults));
    assert.equal(run('dpkg-deb', '--info', deb, 'conffiles'), '/etc/micronova/micronova.toml\n');
    assert.equal(statSync(join(root, 'etc/micronova/micronova.toml')).mode & 0o777, 0o640);
  });

  test('has units that systemd takes without a word', () => {
    const folder = join(root, 'lib/systemd/system');
    const units = globSync('*.service', { cwd: folder }).map((name) => name.replace('@.', '@1.'));
    assert.equal(units.length, 2);
    for (const unit of units) {
      // Of other units that this machine has it complains too.
      const words = ['--recursive-errors=no', `--root=${root}`, unit];
      assert.equal(run('sh', '-c', 'systemd-analyze verify "$@" 2>&1', 'sh', ...words), '', unit);
    }
  });
});
