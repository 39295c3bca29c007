/**
 * The numbers of ports and networks on this host. A port's number is in the mark of every frame that it sends, and stands for an address that
 * it alone speaks from to the metadata service.
 *
 * What must stay true: a number means one port for as long as any rule that has it may be in the kernel. So numbers are on disk before
 * they are in rules, and are only given to others once the rules are known to be gone.
 */
import { createHash } from 'node:crypto';
import { readIfThere, writeFileAtomic } from '../driver/guest-files.ts';
import { fromNumber, overlap, toNumber } from './addresses.ts';
import { NetworkError } from './network-error.ts';

/** Of 100.64.0.0/10: what carriers use between themselves and their customers, so neither tenants nor the machine should. */
const SHARED_SPACE = toNumber('100.64.0.0');
const RANGE_PREFIX = 20;
const RANGES = 2 ** (RANGE_PREFIX - 10);
/** The first is the metadata service's, the last is for broadcasts. */
const FIRST = 2;
const LAST = 2 ** (32 - RANGE_PREFIX) - 2;

interface Content {
  readonly range: string;
  readonly numbers: Readonly<Record<string, number>>;
}

export class Identities {
  readonly #file: string;
  #base = 0;
  readonly #numbers = new Map<string, number>();
  readonly #holders = new Map<number, string>();

  private constructor(file: string) {
    this.#file = file;
  }

  /** Reads the file, or picks a range of which no part is among those `taken`. */
  static async open(file: string, tag: string, taken: () => Promise<readonly string[]>): Promise<Identities> {
    const identities = new Identities(file);
    const text = await readIfThere(file);
    if (text !== null) {
      // Written by ourselves in one rename, so a file that is there has this shape.
      const { range, numbers } = JSON.parse(text) as Content;
      identities.#base = toNumber(range);
      for (const [holder, number] of Object.entries(numbers)) identities.#give(holder, number);
      return identities;
    }
    identities.#base = toNumber(freeRange(tag, await taken()));
    await identities.#save();
    return identities;
  }

  /** `100.64.16.0/20` */
  get range(): string {
    return `${fromNumber(this.#base)}/${RANGE_PREFIX}`;
  }

  /** Where the metadata service is. */
  get service(): string {
    return fromNumber(this.#base + 1);
  }

  /** 2 to 4094. Throws for who has none: `keep` comes first. */
  numberOf(holder: string): number {
    const number = this.#numbers.get(holder);
    if (number === undefined) throw new Error(`${holder} has no number`);
    return number;
  }

  addressOf(holder: string): string {
    return fromNumber(this.#base + this.numberOf(holder));
  }

  holderOf(address: string): string | null {
    return this.#holders.get(toNumber(address) - this.#base) ?? null;
  }

  /** Numbers for those who have none yet, on disk when this resolves. */
  async add(holders: Iterable<string>): Promise<void> {
    const missing = [...new Set(holders)].filter((holder) => !this.#numbers.has(holder));
    if (missing.length === 0) return;
    let next = FIRST;
    for (const holder of missing) {
      while (this.#holders.has(next)) next++;
      if (next > LAST) throw new NetworkError([`this host has no number left for ${holder}`]);
      this.#give(holder, next);
    }
    await this.#save();
  }

  /** Takes the numbers of all others back. */
  async keepOnly(holders: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#numbers].filter(([holder]) => !holders.has(holder));
    if (gone.length === 0) return;
    for (const [holder, number] of gone) {
      this.#numbers.delete(holder);
      this.#holders.delete(number);
    }
    await this.#save();
  }

  #give(holder: string, number: number): void {
    this.#numbers.set(holder, number);
    this.#holders.set(number, holder);
  }

  async #save(): Promise<void> {
    const content: Content = { range: fromNumber(this.#base), numbers: Object.fromEntries(this.#numbers) };
    await writeFileAtomic(this.#file, JSON.stringify(content));
  }
}

/** Starts where the tag points to, so that two clouds on a machine look in different places. */
function freeRange(tag: string, taken: readonly string[]): string {
  const begin = createHash('sha256').update(tag).digest().readUInt16BE() % RANGES;
  for (let tried = 0; tried < RANGES; tried++) {
    const address = fromNumber(SHARED_SPACE + ((begin + tried) % RANGES) * 2 ** (32 - RANGE_PREFIX));
    if (!taken.some((cidr) => overlap(cidr, `${address}/${RANGE_PREFIX}`))) return address;
  }
  throw new NetworkError(['all of 100.64.0.0/10 is in use on this machine']);
}
