/**
 * `npm run package`: `micronova_<version>_<architecture>.deb`, of the program, its units, and its settings with a word on each.
 *
 *   node tools/package/deb.ts [FOLDER]     prints the path of the package
 *
 * The same commit gives the same bytes: times are those of the commit (or `SOURCE_DATE_EPOCH`), modes and owners are ours.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  globSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { configExample } from '../docs/config-example.ts';
import { copyProgram } from './program.ts';

const SETTINGS = '/etc/micronova/micronova.toml';
const CERTIFICATES = '/etc/micronova/tls';
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
/** Small enough, and twenty times as fast as xz. dpkg knows it since Debian 12. */
const COMPRESSION = ['-Zzstd', '-z9', '--threads-max=1'];

const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
const architecture = execFileSync('dpkg', ['--print-architecture'], { encoding: 'utf8' }).trim();
const epoch =
  process.env.SOURCE_DATE_EPOCH ?? execFileSync('git', ['log', '-1', '--format=%ct'], { encoding: 'utf8' }).trim();

const folder = resolve(process.argv[2] ?? '.');
const target = join(folder, `micronova_${version}_${architecture}.deb`);
const root = mkdtempSync(join(tmpdir(), 'micronova-package-'));
try {
  fill();
  execFileSync('dpkg-deb', ['--root-owner-group', ...COMPRESSION, '--build', root, target], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, SOURCE_DATE_EPOCH: epoch },
  });
} finally {
  rmSync(root, { recursive: true });
}
process.stdout.write(`${target}\n`);

function fill(): void {
  copyProgram(join(root, 'usr/lib/micronova'));
  mkdirSync(join(root, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/micronova/bin/micronova', join(root, 'usr/bin/micronova'));
  cpSync('packaging/systemd', join(root, 'lib/systemd/system'), { recursive: true });
  write(SETTINGS, configExample());
  mkdirSync(join(root, CERTIFICATES));
  const docs = '/usr/share/doc/micronova';
  for (const each of ['guide', 'reference']) cpSync(`docs/${each}`, join(root, docs, each), { recursive: true });
  cpSync('LICENSE', join(root, docs, 'copyright'));
  cpSync('CHANGELOG.md', join(root, docs, 'CHANGELOG.md'));
  write(`${docs}/micronova.toml`, configExample());
  const entries = globSync('**', { cwd: root }).filter((path) => path !== '');
  for (const path of entries) normalise(join(root, path));
  writeControl(entries);
  for (const path of ['', ...globSync('**', { cwd: root })])
    lutimesSync(join(root, path), Number(epoch), Number(epoch));
}

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** Whatever the umask was. The settings will have passwords in them. */
function normalise(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  if (path === join(root, SETTINGS)) chmodSync(path, 0o640);
  else chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
}

function writeControl(entries: readonly string[]): void {
  const files = entries.filter((path) => lstatSync(join(root, path)).isFile()).toSorted();
  const bytes = files.reduce((sum, path) => sum + lstatSync(join(root, path)).size, 0);
  const control = readFileSync('packaging/debian/control', 'utf8')
    .replace('@VERSION@', version)
    .replace('@ARCHITECTURE@', architecture)
    .replace('@SIZE@', `${Math.ceil(bytes / 1024)}`);
  const sums = files.map(
    (path) =>
      `${createHash('md5')
        .update(readFileSync(join(root, path)))
        .digest('hex')}  ${path}\n`,
  );
  write('DEBIAN/control', control);
  write('DEBIAN/md5sums', sums.join(''));
  write('DEBIAN/conffiles', `${SETTINGS}\n`);
  for (const path of ['control', 'md5sums', 'conffiles']) chmodSync(join(root, 'DEBIAN', path), 0o644);
  for (const script of SCRIPTS) {
    cpSync(`packaging/debian/${script}`, join(root, 'DEBIAN', script));
    chmodSync(join(root, 'DEBIAN', script), 0o755);
  }
  for (const path of ['', 'DEBIAN']) chmodSync(join(root, path), 0o755);
}
