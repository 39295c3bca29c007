/**
 * `npm test`: the static checks, then every test, with a summary at the end.
 *
 * Tests beside the source share one process, which is many times faster; those below `test/` kill processes and start
 * clouds, so each file has its own. A skipped test says so in the summary, and fails in CI.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

interface Group {
  readonly name: string;
  readonly args: readonly string[];
}

const UNIT = globSync('src/**/*.test.ts').toSorted();
const GROUPS: readonly Group[] = [
  ...(process.argv.includes('--no-check') ? [] : [{ name: 'check', args: ['tools/check.ts', '--static'] }]),
  { name: 'beside the source', args: ['--test', '--test-isolation=none', ...UNIT] },
  ...globSync('test/**/*.test.ts')
    .toSorted()
    .map((file) => ({ name: file, args: ['--test', '--test-concurrency=1', file] })),
];

/** Lines that tests print for the summary: how many kill points were tried, how many requests were sent. */
const WORTH_REPEATING = /^((?:kill points|seed \d+): .*)$/;

/** What the summary says again of a line: a figure worth repeating, or a test that was skipped or is yet to be. */
function noteIn(line: string): string | undefined {
  const skipped = /^[﹣⚠] (.*?) \([\d.]+ms\)(.*)$/.exec(line);
  return skipped ? `skipped: ${skipped[1]}${skipped[2]}` : WORTH_REPEATING.exec(line.replace(/^ℹ /, ''))?.[1];
}

interface Outcome {
  readonly group: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  readonly notes: readonly string[];
}

async function run({ name, args }: Group): Promise<Outcome> {
  process.stdout.write(`\n── ${name}\n`);
  const begun = performance.now();
  const child = spawn(process.execPath, [...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, PATH: `${join(process.cwd(), 'node_modules/.bin')}:${process.env.PATH}` },
  });
  let output = '';
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (text: string) => {
    output += text;
    process.stdout.write(text);
  });
  const code = await new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? 1)));
  const count = (word: string) => Number(new RegExp(`^ℹ ${word} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  const isTests = args.includes('--test');
  const failed = count('fail') + count('cancelled');
  return {
    group: name,
    passed: isTests ? count('pass') : code === 0 ? 1 : 0,
    // A runner that died has counted nothing, and has failed all the same.
    failed: code === 0 ? failed : Math.max(1, failed),
    skipped: count('skipped') + count('todo'),
    seconds: (performance.now() - begun) / 1000,
    notes: output.split('\n').flatMap((line) => noteIn(line.trim()) ?? []),
  };
}

const outcomes: Outcome[] = [];
for (const group of GROUPS) outcomes.push(await run(group));

process.stdout.write('\n── summary\n');
for (const { group, passed, failed, skipped, seconds, notes } of outcomes) {
  process.stdout.write(
    `${failed > 0 ? 'FAIL' : 'ok  '}  ${group}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds.toFixed(0)} s\n`,
  );
  for (const note of notes) process.stdout.write(`        ${note}\n`);
}
const sum = (key: 'passed' | 'failed' | 'skipped') => outcomes.reduce((total, outcome) => total + outcome[key], 0);
const isCi = process.env.CI !== undefined && process.env.CI !== 'false';
if (sum('skipped') > 0)
  process.stdout.write(`${sum('skipped')} tests were skipped${isCi ? ', which fails in CI' : ''}\n`);
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`);
process.exitCode = sum('failed') > 0 || (isCi && sum('skipped') > 0) ? 1 : 0;
