/**
 * Talking to a guest through its serial console: log in, run a command, get its output and exit status.
 *
 * For the demo, the end-to-end tests and the benchmarks; it needs a guest with a login on its serial line and a POSIX shell,
 * such as the built-in guest image. One client per console: QEMU makes a second one wait until the first has left.
 */

import type { Socket } from 'node:net';
import { connectUnix } from '#services/compute/driver/qemu/unix-socket.ts';

/** The end of a command in the guest. */
export interface GuestCommandResult {
  /** What it printed, both streams, with `\n` line ends. */
  readonly output: string;
  readonly code: number;
}

/** Patience per call in ms; a guest under software emulation on a busy host takes its time. */
export interface Patience {
  readonly timeoutMs?: number;
}

const LOGIN_TIMEOUT_MS = 180_000;
const COMMAND_TIMEOUT_MS = 60_000;
/** How long a prompt may fail to come before Enter is pressed again. */
const PROMPT_RETRY_MS = 2_000;
const INTERRUPT_RETRY_MS = 1_000;
/** ASCII record separator: never typed, so an echoed command line cannot be mistaken for its result. */
const MARK = '\x1e';
/** Colours, and the cursor query that busybox' shell sends after each prompt. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: terminal codes begin with one
const TERMINAL_CODES = /\x1b\[[0-9;?]*[A-Za-z]/g;
const LOGIN = /login: ?$/;
const PASSWORD = /[Pp]assword: ?$/;
const SHELL = /[#$] ?$/;

/** Connects to `serial.sock` of a guest. Rejects when no QEMU listens there (`ENOENT`, `ECONNREFUSED`). */
export async function openSerial(path: string): Promise<SerialConsole> {
  return new SerialConsole(await connectUnix(path));
}

/** One connection; close it, or nobody else gets the console. */
export class SerialConsole {
  readonly #socket: Socket;
  /** Output that no `expect` has consumed yet. */
  #unread = '';
  #wake: () => void = () => {};
  #ended = false;
  #commands = 0;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => {
      this.#unread = (this.#unread + text).replaceAll(TERMINAL_CODES, '');
      this.#wake();
    });
    socket.on('error', () => undefined); // `close` follows
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Types text as it is; Enter is `\n`. */
  send(text: string): void {
    this.#socket.write(text);
  }

  /** Waits for output that matches, and consumes everything up to the end of the match. Rejects on time-out or hang-up. */
  async expect(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const match = pattern.exec(this.#unread);
      if (match) {
        this.#unread = this.#unread.slice(match.index + match[0].length);
        return match;
      }
      const leftMs = deadline - Date.now();
      if (this.#ended || leftMs <= 0) {
        const why = this.#ended ? 'the console was closed' : `nothing came within ${timeoutMs} ms`;
        throw new Error(`Serial console: waiting for ${pattern}, ${why}. Last output: ${this.#unread.slice(-500)}`);
      }
      await this.#nextOutput(leftMs);
    }
  }

  /**
   * Gets to a root shell, from wherever the console is: booting, at the login prompt, or logged in already. Rejects when the
   * guest refuses the password, and when no prompt comes in time.
   */
  async login(password: string, { timeoutMs = LOGIN_TIMEOUT_MS }: Patience = {}): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    const anyPrompt = new RegExp(`(${LOGIN.source})|(${PASSWORD.source})|(${SHELL.source})|(incorrect)`);
    let typedPassword = false;
    while (Date.now() < deadline) {
      let match: RegExpExecArray;
      try {
        match = await this.expect(anyPrompt, Math.min(PROMPT_RETRY_MS, Math.max(1, deadline - Date.now())));
      } catch (error) {
        if (this.#ended) throw error;
        this.send('\n'); // a prompt printed before we came is repeated after Enter
        continue;
      }
      if (match[4] !== undefined && typedPassword) throw new Error('Serial console: the guest refused the password');
      if (match[1] !== undefined) this.send('root\n');
      if (match[2] !== undefined) {
        this.send(`${password}\n`);
        typedPassword = true;
      }
      if (match[3] !== undefined && (await this.#isShell())) return;
    }
    throw new Error(`Serial console: no shell within ${timeoutMs} ms. Last output: ${this.#unread.slice(-500)}`);
  }

  /**
   * Ends what runs in the foreground. Ctrl-C is pressed until a prompt comes: a shell misses one that comes between two programs of a
   * loop. Rejects when none comes in time; `login` is next.
   */
  async interrupt({ timeoutMs = LOGIN_TIMEOUT_MS }: Patience = {}): Promise<void> {
    const anyPrompt = new RegExp(`(${LOGIN.source})|(${SHELL.source})`);
    for (const deadline = Date.now() + timeoutMs; ; ) {
      this.send('\x03');
      try {
        await this.expect(anyPrompt, INTERRUPT_RETRY_MS);
        this.send('\n'); // once more, for who waits for it
        return;
      } catch (error) {
        if (this.#ended || Date.now() > deadline) throw error;
      }
    }
  }

  /** Runs one command line (at most 3 KiB, no line break) in the shell and waits for its end. Needs `login` first. */
  async run(command: string, { timeoutMs = COMMAND_TIMEOUT_MS }: Patience = {}): Promise<GuestCommandResult> {
    const id = ++this.#commands;
    // printf makes the mark from its octal code; the terminal's echo shows only the code.
    this.send(`printf '\\036b${id}\\n'; ${command}; printf '\\036e${id}:%s\\n' $?\n`);
    const pattern = new RegExp(`${MARK}b${id}\\r?\\n([^]*?)${MARK}e${id}:(\\d+)\\r?\\n`);
    const [, output = '', code = ''] = await this.expect(pattern, timeoutMs);
    return { output: output.replaceAll('\r\n', '\n'), code: Number(code) };
  }

  /** Lets the next client have the console. The guest's shell stays logged in. */
  close(): void {
    this.#socket.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Boot messages may look like a prompt; a shell proves itself by answering. */
  async #isShell(): Promise<boolean> {
    try {
      return (await this.run('true', { timeoutMs: PROMPT_RETRY_MS * 2 })).code === 0;
    } catch (error) {
      if (this.#ended) throw error;
      return false;
    }
  }

  async #nextOutput(timeoutMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
  }
}
