/** A progress bar on a terminal; elsewhere a line at each tenth, so that a log of it stays readable. */
import { styleText } from 'node:util';

const WIDTH = 30;

export class ProgressBar {
  readonly #title: string;
  readonly #out: NodeJS.WriteStream;
  #shown = -1;

  constructor(title: string, out: NodeJS.WriteStream = process.stdout) {
    this.#title = title;
    this.#out = out;
  }

  /** `done` and `total` in bytes. */
  show(done: number, total: number): void {
    const share = total > 0 ? Math.min(1, done / total) : 0;
    const tenth = Math.floor(share * 10);
    if (!this.#out.isTTY && tenth <= this.#shown) return;
    this.#shown = tenth;
    const full = Math.round(share * WIDTH);
    const bar = styleText('cyan', '█'.repeat(full)) + '░'.repeat(WIDTH - full);
    const text = `  ${this.#title} ${bar} ${String(Math.floor(share * 100)).padStart(3)} %  ${mib(done)} of ${mib(total)}`;
    this.#out.write(this.#out.isTTY ? `\r${text}\u001b[K` : `${text}\n`);
  }

  /** Leaves the bar as it is and goes to the next line. */
  end(): void {
    if (this.#out.isTTY) this.#out.write('\n');
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
