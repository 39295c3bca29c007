/** A guide as what it says to type: its blocks that name the machines on which they are run, in order. */
import { readFileSync } from 'node:fs';

export interface Block {
  readonly machines: readonly string[];
  readonly script: string;
  /** The heading that it is under. */
  readonly section: string;
}

const FENCE = /^(`{3}.*)$/;
const ON = /^# on ([a-z-]+(?:, [a-z-]+)*)$/;

/** Throws for a block of `sh` that names no machine. */
export function blocksOf(path: string): Block[] {
  const blocks: Block[] = [];
  let section = '';
  let open: { readonly language: string; readonly lines: string[] } | null = null;
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const fence = FENCE.exec(line)?.[1];
    if (open && fence === '```') {
      const [first = '', ...rest] = open.lines;
      const machines = ON.exec(first)?.[1]?.split(', ');
      if (open.language === 'sh' && !machines)
        throw new Error(`${path}: on which machine is this to be run?\n${first}`);
      if (machines) blocks.push({ machines, script: rest.join('\n'), section });
      open = null;
    } else if (open) open.lines.push(line);
    else if (fence !== undefined) open = { language: fence.slice(3), lines: [] };
    else if (line.startsWith('#')) section = line.replace(/^#+ /, '');
  }
  return blocks;
}
