/**
 * The timeline of a request: who asked whom for what, when, and how long it took; drawn as a sequence diagram.
 *
 * It is read from the logs, where every message, hypervisor command and request to a service is one line.
 */
import type { LogLine } from './log-reader.ts';

export interface Arrow {
  readonly from: string;
  readonly to: string;
  readonly what: string;
  /** Epoch ms at which it began. */
  readonly at: number;
  readonly ms: number | null;
  readonly error: string | null;
  /** How many alike it stands for. */
  readonly times: number;
}

/** Parties from the client to the hypervisor, as they are drawn from left to right. */
const ORDER = [
  'client',
  'nova-api',
  'nova-conductor',
  'nova-scheduler',
  'nova-compute',
  'qemu',
  'glance-api',
  'neutron',
  'keystone',
];

/** The arrows of the lines in the order in which they began; polls of the hypervisor that repeat are one. */
export function arrowsOf(lines: readonly LogLine[]): Arrow[] {
  const arrows = lines.flatMap(({ time, hop }): Arrow[] => {
    if (!hop) return [];
    const { from, to, what, ms = null, error = null } = hop;
    return [{ from, to, what, ms, error, at: Date.parse(time) - (ms ?? 0), times: 1 }];
  });
  arrows.sort((a, b) => a.at - b.at);
  return arrows.reduce<Arrow[]>((merged, arrow) => {
    const index = merged.findLastIndex((each) => each.what === arrow.what && each.to === arrow.to);
    const last = merged[index];
    if (!last || arrow.to !== 'qemu' || !arrow.what.startsWith('query-')) merged.push(arrow);
    else merged[index] = { ...last, ms: (last.ms ?? 0) + (arrow.ms ?? 0), times: last.times + 1 };
    return merged;
  }, []);
}

/** The diagram as lines of text. Empty for no arrows. */
export function drawTimeline(arrows: readonly Arrow[]): string[] {
  const [first] = arrows;
  if (!first) return [];
  const parties = ORDER.filter((party) => arrows.some(({ from, to }) => from === party || to === party));
  const gap = 16;
  const margin = 10;
  const column = (party: string) => margin + 2 + Math.max(0, parties.indexOf(party)) * gap;
  const width = column(parties.at(-1) ?? '') + 2;
  const head = parties.reduce(
    (line, party) => put(line, column(party) - Math.floor(party.length / 2), party),
    ' '.repeat(width),
  );
  const rows = arrows.map((arrow) => {
    const at = `${(arrow.at - first.at).toFixed(0)} ms`.padStart(margin - 1);
    let line = put(' '.repeat(width), 0, at);
    for (const party of parties) line = put(line, column(party), '│');
    return `${drawArrow(line, column(arrow.from), column(arrow.to))}  ${label(arrow)}`;
  });
  return [head.trimEnd(), ...rows];
}

function drawArrow(line: string, from: number, to: number): string {
  if (from === to) return put(line, from, '├─┐');
  const [left, right] = [Math.min(from, to), Math.max(from, to)];
  const shaft = '─'.repeat(right - left - 2);
  return put(line, left + 1, from < to ? `${shaft}►` : `◄${shaft}`);
}

function label({ what, ms, error, times }: Arrow): string {
  const repeated = times > 1 ? ` ×${times}` : '';
  const took = ms === null ? '' : `  ${ms.toFixed(1)} ms`;
  return `${what}${repeated}${took}${error === null ? '' : `  FAILED: ${error}`}`;
}

function put(line: string, at: number, text: string): string {
  const padded = line.padEnd(at + text.length);
  return padded.slice(0, at) + text + padded.slice(at + text.length);
}
