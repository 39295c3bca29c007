/** Which port of the machine's loopback leads to which port of a floating IP. On disk before it is in rules; a pair keeps its port while it is wanted. */
import { join } from 'node:path';
import { readIfThere, writeFileAtomic } from '../driver/guest-files.ts';
import type { Forward } from './plane.ts';

const FILE = 'forwards.json';

/** Of the plane that has its files in `dir`; none where it has no such table. */
export function readForwards(dir: string): Promise<readonly Forward[]> {
  return readNote(join(dir, FILE));
}

export class ForwardTable {
  readonly #file: string;
  readonly #ports: readonly number[];
  readonly #range: readonly [number, number];
  #forwards: readonly Forward[] = [];

  private constructor(file: string, range: readonly [number, number], ports: readonly number[]) {
    this.#file = file;
    this.#range = range;
    this.#ports = ports;
  }

  /** `dir`: of the plane. `ports`: those of every floating IP that are led to. */
  static async open(
    dir: string,
    { range, ports }: { readonly range: readonly [number, number]; readonly ports: readonly number[] },
  ): Promise<ForwardTable> {
    const file = join(dir, FILE);
    const table = new ForwardTable(file, range, ports);
    table.#forwards = await readNote(file);
    return table;
  }

  get forwards(): readonly Forward[] {
    return this.#forwards;
  }

  /** Ports for these addresses and no others. Who comes when all are given away has none. */
  async keep(addresses: readonly string[]): Promise<void> {
    const [first, last] = this.#range;
    const kept = this.#forwards.filter(
      ({ address, port, hostPort }) =>
        addresses.includes(address) && this.#ports.includes(port) && hostPort >= first && hostPort <= last,
    );
    const taken = new Set(kept.map(({ hostPort }) => hostPort));
    const has = new Set(kept.map(({ address, port }) => `${address}:${port}`));
    const forwards = [...kept];
    let next = first;
    for (const address of addresses)
      for (const port of this.#ports.filter((each) => !has.has(`${address}:${each}`))) {
        while (taken.has(next)) next++;
        if (next > last) break;
        taken.add(next);
        forwards.push({ address, port, hostPort: next });
      }
    if (JSON.stringify(forwards) === JSON.stringify(this.#forwards)) return;
    await writeFileAtomic(this.#file, JSON.stringify(forwards));
    this.#forwards = forwards;
  }
}

async function readNote(file: string): Promise<readonly Forward[]> {
  const text = await readIfThere(file);
  // Written by ourselves in one rename.
  return text === null ? [] : (JSON.parse(text) as Forward[]);
}
