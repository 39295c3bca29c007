/** `npm run check`: everything about the source that needs no run, then the tests (leave them out with `--static`). */
import { spawnSync } from 'node:child_process';
import { importViolations } from './check-imports.ts';
import { oversizedFiles } from './check-sizes.ts';
import { outdatedDocs } from './docs/pages.ts';

let failed = false;

function report(what: string, problems: readonly string[]): void {
  process.stdout.write(`${problems.length === 0 ? 'ok  ' : 'FAIL'}  ${what}\n`);
  for (const problem of problems) process.stdout.write(`      ${problem}\n`);
  if (problems.length > 0) failed = true;
}

function run(what: string, command: string, args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  report(what, status === 0 ? [] : `${stdout}${stderr}`.trim().split('\n'));
}

run('types', 'tsc', ['--noEmit', '-p', '.']);
run('format and lint', 'biome', ['check', '--error-on-warnings', '.']);
report('imports', importViolations());
report('file sizes', oversizedFiles());
report('generated docs are current (npm run docs)', outdatedDocs());

if (!failed && !process.argv.includes('--static')) {
  const { status } = spawnSync(process.execPath, ['tools/test.ts', '--no-check'], { stdio: 'inherit' });
  failed = status !== 0;
}
process.exitCode = failed ? 1 : 0;
