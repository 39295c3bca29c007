/**
 * A whole cloud in a process of its own that kills itself where it is told to: `node victim.ts DATA DRIVER SETTINGS [POINT]`, and
 * later points as lines on its standard input. A point is a kind of event, its number counted from now, and when.
 *
 * `journal`: a durable write, `before` or `after` it. `bus`: a message about to be sent. `files`: a change of a file or
 * folder about to be made. With a number instead of before or after: so many ms later. Nothing is cleaned up, as with a
 * power cut: the process is gone between two instructions.
 */
import fs from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { createInterface } from 'node:readline';
import type { Transport } from '#bus/transport.ts';
import type { JournalStore } from '#journal/store.ts';

type Kind = 'journal' | 'bus' | 'files';

interface Point {
  readonly kind: Kind;
  readonly when: string;
  left: number;
}

let armed: Point | null = null;
let dying: NodeJS.Timeout | undefined;

function parsePoint(text: string): Point | null {
  const [kind, number, when] = text.split(' ');
  return kind === 'none' ? null : { kind: kind as Kind, left: Number(number), when: when ?? 'before' };
}

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal is on its way; nothing may happen any more.
  for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

/** Runs `work`, and dies if this is the event that the armed point names. */
async function pass<Result>(kind: Kind, work: () => Promise<Result>): Promise<Result> {
  const strikes = armed?.kind === kind && --armed.left === 0;
  if (!strikes) return work();
  const { when } = armed as Point;
  if (when === 'before') die();
  if (when !== 'after') dying = setTimeout(die, Number(when));
  try {
    return await work();
  } finally {
    // Also where it failed, as does the removal of what is not there.
    if (when === 'after') die();
  }
}

/** The calls that change names; writing into a file that is open already is not one. */
const CHANGES = ['appendFile', 'link', 'mkdir', 'rename', 'rm', 'symlink', 'unlink', 'writeFile'] as const;

function weaveFiles(): void {
  for (const name of CHANGES) {
    const real = fs[name] as (...args: unknown[]) => Promise<unknown>;
    Object.assign(fs, { [name]: (...args: unknown[]) => pass('files', () => real(...args)) });
  }
  // Whoever imports one of them by name from now on gets ours.
  syncBuiltinESMExports();
}

function wovenJournal(store: JournalStore): JournalStore {
  return {
    ...store,
    append: (...written) => pass('journal', () => store.append(...written)),
    finish: (...written) => pass('journal', () => store.finish(...written)),
  };
}

function wovenBus(transport: Transport): Transport {
  return { ...transport, publish: (topic, message) => pass('bus', () => transport.publish(topic, message)) };
}

const [data = '', driver = 'fake', settings = '{}', first] = process.argv.slice(2);
weaveFiles();
const { loadConfig } = await import('#config/config.ts');
const { memoryTransport } = await import('#bus/memory.ts');
const { journalStore } = await import('#db/repo/journal-store.ts');
const { startCloud } = await import('../../src/main.ts');
if (first !== undefined) armed = parsePoint(first);
const cloud = await startCloud(
  loadConfig({
    flags: {
      data,
      driver,
      listen: '127.0.0.1:0',
      log_level: 'info',
      quota_instances: -1,
      quota_cores: -1,
      quota_ram_mib: -1,
      ...(JSON.parse(settings) as Record<string, number>),
    },
  }),
  { journal: (db) => wovenJournal(journalStore(db)), transport: wovenBus(memoryTransport()) },
);
process.stdout.write(`ready ${cloud.url}\n`);
const orders = createInterface(process.stdin);
orders.on('line', (line) => {
  armed = parsePoint(line);
  clearTimeout(dying);
  process.stdout.write('armed\n');
});
process.once('SIGTERM', () => {
  orders.close();
  process.stdin.destroy();
  void cloud.close({ stopGuests: false });
});
