/**
 * `npm test`: the static checks and every test, with a summary at the end.
 *
 * Tests beside the source share one process, which is many times faster; those below `test/` kill processes and start
 * clouds, so each file has its own. Two groups run at a time, since most of them wait for guests; what a group says is
 * told when it has ended. A skipped test says so in the summary, and fails in CI. A group that hangs is ended, and
 * fails: the others are still run, and what it has said is told.
 */
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/** How many groups run at a time. */
const LANES = Math.min(2, availableParallelism());
/** Many times what the longest takes. */
const LIMIT_MS = 20 * 60_000;
/** For the runner to end its files and to print what failed. */
const GRACE_MS = 10_000;

interface Group {
  readonly name: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const UNIT = globSync('src/**/*.test.ts').toSorted();
/** Tried on both engines, as is all that reads and writes the record. */
const ON_BOTH = ['operations', 'model'];
/** The random walk only for as long as it takes to trip once. */
const ON_POSTGRES = { MICRONOVA_TEST_DATABASE: 'postgres', MICRONOVA_MODEL_SEQUENCES: '60' };
const OF_THE_RECORD = globSync(
  'src/{db,operations,services/{api,conductor,consoles,health,identity,image,network,scheduler}}/**/*.test.ts',
).toSorted();
const isOnBoth = (file: string) => ON_BOTH.some((folder) => file.startsWith(`test/${folder}/`));
/** The long ones first, so that no lane is left alone with one. */
const GROUPS: readonly Group[] = [
  ...(process.argv.includes('--no-check') ? [] : [{ name: 'check', args: ['tools/check.ts', '--static'] }]),
  { name: 'beside the source', args: ['--test', '--test-isolation=none', ...UNIT] },
  {
    name: 'beside the source, on PostgreSQL',
    args: ['--test', '--test-isolation=none', ...OF_THE_RECORD],
    env: ON_POSTGRES,
  },
  ...ON_BOTH.flatMap((folder) => {
    const args = ['--test', '--test-concurrency=1', ...globSync(`test/${folder}/*.test.ts`).toSorted()];
    return [
      { name: `test/${folder}`, args },
      { name: `test/${folder}, on PostgreSQL`, args, env: ON_POSTGRES },
    ];
  }),
  ...globSync('test/**/*.test.ts')
    .filter((file) => !isOnBoth(file))
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

/** Of what the runner tells of one failure, what fits on a screen. */
const LINES_OF_FAILURES = 40;

/** What a group that failed says of it last: the tests, each with its error. */
function failuresIn(output: string): readonly string[] {
  const lines = output.split('\n');
  const begin = lines.findLastIndex((line) => line.startsWith('✖ failing tests:'));
  return lines.slice(begin === -1 ? -LINES_OF_FAILURES : begin + 1).filter((line) => line.trim() !== '');
}

interface Outcome {
  readonly group: string;
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  readonly seconds: number;
  readonly notes: readonly string[];
  readonly failures: readonly string[];
}

async function run({ name, args, env }: Group): Promise<Outcome> {
  const begun = performance.now();
  const child = spawn(process.execPath, [...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env, PATH: `${join(process.cwd(), 'node_modules/.bin')}:${process.env.PATH}` },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8');
    stream.on('data', (text: string) => (output += text));
  }
  const limit = setTimeout(() => {
    output += `${name} did not end within ${LIMIT_MS / 60_000} minutes\n`;
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), GRACE_MS).unref();
  }, LIMIT_MS);
  const code = await new Promise<number>((resolve) => child.on('close', (status) => resolve(status ?? 1)));
  clearTimeout(limit);
  process.stdout.write(`\n── ${name}\n${output}`);
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
    failures: code === 0 ? [] : failuresIn(output).slice(0, LINES_OF_FAILURES),
  };
}

const outcomes: Outcome[] = [];
const waiting = GROUPS.values();
const lane = async () => {
  for (const group of waiting) outcomes.push(await run(group));
};
await Promise.all(Array.from({ length: LANES }, lane));

process.stdout.write('\n── summary\n');
// What failed comes first, and why: a log is often all that is left, and not always the whole of it.
for (const { group, passed, failed, skipped, seconds, notes, failures } of outcomes.toSorted(
  (one, other) => Number(other.failed > 0) - Number(one.failed > 0),
)) {
  const verdict = failed > 0 ? 'FAIL' : 'ok  ';
  process.stdout.write(
    `${verdict}  ${group}: ${passed} passed, ${failed} failed, ${skipped} skipped, ${seconds.toFixed(0)} s\n`,
  );
  for (const line of [...notes, ...failures]) process.stdout.write(`        ${line}\n`);
}
const sum = (key: 'passed' | 'failed' | 'skipped') => outcomes.reduce((total, outcome) => total + outcome[key], 0);
const isCi = process.env.CI !== undefined && process.env.CI !== 'false';
if (sum('skipped') > 0)
  process.stdout.write(`${sum('skipped')} tests were skipped${isCi ? ', which fails in CI' : ''}\n`);
process.stdout.write(`${sum('passed')} passed, ${sum('failed')} failed, ${sum('skipped')} skipped\n`);
process.exitCode = sum('failed') > 0 || (isCi && sum('skipped') > 0) ? 1 : 0;
