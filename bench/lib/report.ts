/** The table: as text for the terminal, as a page for `docs/reference/`. Without a date, so that it changes only with its figures. */
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus } from 'node:os';
import type { Row } from './row.ts';

const HEAD = ['what', 'ours', 'baseline', 'ratio', 'goal', 'met'];

function cells(row: Row): string[] {
  const { what, ours, baseline = '', ratio, goal = '', met } = row;
  const verdict = met === undefined ? '' : met ? 'yes' : 'no';
  return [what, ours, baseline, ratio === undefined ? '' : ratio.toFixed(2), goal, verdict];
}

export function asText(rows: readonly Row[]): string {
  const lines = [HEAD, ...rows.map(cells)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines
    .map(
      (line) =>
        `${line
          .map((cell, at) => cell.padEnd(widths[at] ?? 0))
          .join('  ')
          .trimEnd()}\n`,
    )
    .join('');
}

export function asMarkdown(rows: readonly Row[]): string {
  const line = (parts: readonly string[]) => `| ${parts.map((part) => part.replaceAll('|', '\\|')).join(' | ')} |`;
  const table = [line(HEAD), line(HEAD.map(() => '---')), ...rows.map((row) => line(cells(row)))];
  const hows = rows.map(({ what, how }) => `- **${what}**: ${how}.`);
  return `# Benchmarks

Written by \`npm run bench\`. Ours and the baseline are measured in the same run, in turns; on another machine, or one
that is busy, the times are others while the ratios stay about the same.

Measured on: ${machine()}.

${table.join('\n')}

## How each is measured

${hows.join('\n')}
`;
}

function machine(): string {
  const memoryGib = Number(/MemTotal:\s+(\d+)/.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) / 2 ** 20;
  const hasKvm = /\b(vmx|svm)\b/.test(readFileSync('/proc/cpuinfo', 'utf8'));
  const parts = [
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? 'unknown'})`,
    `${memoryGib.toFixed(0)} GiB of memory`,
    hasKvm ? 'guests with KVM where the user may' : 'guests in software emulation (TCG)',
    `Node ${process.version.slice(1)}`,
  ];
  return parts.join(', ');
}
