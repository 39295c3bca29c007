/**
 * `npm run bench`: measures the cloud against what the machine can do at best, in one run, and writes the table to
 * `docs/reference/benchmarks.md`.
 *
 *   node bench/main.ts [--quick] [--only NAME,NAME] [--no-write]
 *
 * With `--only` or `--quick` the document is left alone. Load goes to 127.0.0.1 only; what was started is ended.
 */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { apiThroughput } from './api-throughput.ts';
import { imageTransfer } from './image-transfer.ts';
import { launch } from './launch.ts';
import { launchRate } from './launch-rate.ts';
import { endAll, ROOT } from './lib/child.ts';
import { asMarkdown, asText } from './lib/report.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { manyProcesses } from './many-processes.ts';
import { networkSize } from './network-size.ts';
import { schedulerClaims } from './scheduler-claims.ts';
import { schedulerDecision } from './scheduler-decision.ts';
import { snapshot } from './snapshot.ts';
import { start } from './start.ts';
import { tutorialRows } from './tutorial-rows.ts';

const BENCHMARKS: readonly Benchmark[] = [
  start,
  apiThroughput,
  launch,
  snapshot,
  launchRate,
  schedulerDecision,
  schedulerClaims,
  manyProcesses,
  networkSize,
  imageTransfer,
  tutorialRows,
];
const DOCUMENT = join(ROOT, 'docs/reference/benchmarks.md');

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    quick: { type: 'boolean', default: false },
    'no-write': { type: 'boolean', default: false },
  },
});
const wanted = values.only?.split(',');
const unknown = wanted?.find((name) => BENCHMARKS.every((each) => each.name !== name));
if (unknown !== undefined) {
  process.stderr.write(`no benchmark ${unknown}; there are: ${BENCHMARKS.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}

const rows: Row[] = [];
let failed = 0;
let isInterrupted = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    isInterrupted = true;
    // What was waiting for these processes fails, and cleans up after itself.
    void endAll();
  });
}
for (const { name, run } of BENCHMARKS) {
  if (isInterrupted || (wanted && !wanted.includes(name))) continue;
  const scratch = await mkdtemp(join(tmpdir(), `micronova-bench-${name}-`));
  await chmod(scratch, 0o711); // QEMU may run as a user of its own
  try {
    rows.push(...(await run({ quick: values.quick, scratch, say: (text) => progress(`${name}: ${text}`) })));
  } catch (error) {
    failed += 1;
    process.stderr.write(`\n${name} failed: ${error instanceof Error ? error.stack : error}\n`);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}
process.stdout.write(`\n${asText(rows)}\n${rows.map(({ what, how }) => `${what}: ${how}\n`).join('')}`);
const isWhole = !wanted && !values.quick && failed === 0;
if (isWhole && !values['no-write']) await writeFile(DOCUMENT, asMarkdown(rows));
if (failed > 0) process.exitCode = 1;

function progress(text: string): void {
  process.stderr.write(`${(performance.now() / 1000).toFixed(0).padStart(4)} s  ${text}\n`);
}
