/** Fake guests that go from one fake driver to another, on whichever side of it this one is. */

import type { Duplex } from 'node:stream';
import type { GuestId, GuestSpec, JobControl, MoveOptions, MoveStream } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksOf } from '../guest-files.ts';
import { lineOfTwo } from '../join-streams.ts';
import type { KeyedLock } from '../keyed-lock.ts';
import { type FakeMove, type FakeRecord, type FakeStore, NEW } from './fake-store.ts';
import { acknowledged, type DisksMessage, type MemoryMessage, messages, say } from './fake-wire.ts';

const MIB = 2 ** 20;

/** Lets the time of a long job pass, with its progress. */
type Pass = (total: number, control: JobControl) => Promise<void>;

/** See the head of this file. */
export class FakeMoves {
  readonly #store: FakeStore;
  readonly #locks: KeyedLock;
  /** Those that are being sent: what lets no more time pass, and what ends it. */
  readonly #sending = new Map<GuestId, { readonly hurry: AbortController; readonly fail: (error: Error) => void }>();
  readonly #incoming = new Map<GuestId, Set<Duplex>>();

  constructor(store: FakeStore, locks: KeyedLock) {
    this.#store = store;
    this.#locks = locks;
  }

  /** What `receive` promises; needs the lock. */
  async receive(spec: GuestSpec, { sharedDisks = false }: MoveOptions): Promise<void> {
    const { id } = spec;
    const before = await this.#store.read(id);
    if (before && before.move?.to !== 'here')
      throw new DriverError('command_failed', `Receive of guest ${id}: there is one already`);
    this.end(id);
    const empty = ({ name, base, baseFormat, sizeBytes }: GuestSpec['disk']) => ({ name, base, baseFormat, sizeBytes });
    const made: GuestSpec = { ...spec, disk: empty(spec.disk), otherDisks: spec.otherDisks.map(empty) };
    const move = { to: 'here', disks: sharedDisks, memory: false } as const;
    await this.#store.write(id, { ...NEW, spec: made, state: 'paused', move });
    // What another host may see is not ours to empty.
    for (const { name } of before ? disksOf(before.spec) : []) await this.#store.removeDisk({ id }, name);
    if (!sharedDisks) for (const { name } of disksOf(made)) await this.#store.writeDisk({ id }, name, '');
  }

  /** What `openIncoming` promises. */
  async openIncoming(id: GuestId, stream: MoveStream): Promise<Duplex> {
    const record = await this.#store.read(id);
    if (record?.move?.to !== 'here' || record.state !== 'paused')
      throw new DriverError('not_running', `Guest ${id} does not come from another host`);
    const [near, far] = lineOfTwo();
    for (const end of [near, far]) end.on('error', () => undefined); // `close` follows
    const open = this.#incoming.get(id) ?? new Set();
    this.#incoming.set(id, open.add(near));
    near.once('close', () => open.delete(near));
    const take = stream === 'disks' ? this.#takeDisks(id, near) : this.#takeMemory(id, near);
    take.catch(() => near.destroy());
    return far;
  }

  /** What `migrate` promises, but for its fault. */
  async send(
    id: GuestId,
    open: (stream: MoveStream) => Promise<Duplex>,
    control: JobControl,
    { pass, sharedDisks = false }: MoveOptions & { readonly pass: Pass },
  ): Promise<void> {
    const { spec, ran } = await this.#begin(id);
    const total = spec.memoryMib * MIB + disksOf(spec).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const streams: Duplex[] = [];
    const opened = async (stream: MoveStream) => {
      const far = await open(stream);
      streams.push(far.on('error', () => undefined)); // `close` follows
      return far;
    };
    const hurry = new AbortController();
    const ended = Promise.withResolvers<never>();
    this.#sending.set(id, { hurry, fail: ended.reject });
    ended.promise.catch(() => undefined); // nobody may be waiting any more
    const onAbort = () => ended.reject(control.signal.reason);
    control.signal.addEventListener('abort', onAbort, { once: true });
    const orEnd = <T>(work: Promise<T>) => Promise.race([work, ended.promise]);
    try {
      control.signal.throwIfAborted();
      if (!sharedDisks) {
        const disks = await orEnd(opened('disks'));
        await orEnd(say(disks, { disks: await this.#store.disks(spec) }));
        await orEnd(acknowledged(disks));
      }
      const memory = await orEnd(opened('memory'));
      const pieces = (await this.#store.readConsole(id)).match(/.{1,1024}/gs) ?? [];
      for (const console of pieces) await orEnd(say(memory, { console, last: false }));
      await passUnless(hurry.signal, control, (own) => pass(total, own));
      await orEnd(say(memory, { console: '', last: true }));
      await orEnd(acknowledged(memory));
      await this.#locks.run(id, async () => {
        const record = await this.#store.read(id);
        if (!record || (record.state !== 'running' && record.state !== 'paused'))
          throw new DriverError('not_running', `Migrate of guest ${id}: it ended meanwhile`);
        await this.#store.write(id, { ...record, state: 'paused', reason: null, move: { to: 'elsewhere', ran } });
      });
      control.onProgress({ done: total, total });
    } finally {
      control.signal.removeEventListener('abort', onAbort);
      this.#sending.delete(id);
      for (const stream of streams) stream.destroy();
    }
  }

  /** What `hurry` promises. */
  hurry(id: GuestId): void {
    const sending = this.#sending.get(id);
    if (!sending) throw new DriverError('command_failed', `Guest ${id} is not being sent to another host`);
    sending.hurry.abort();
  }

  /** Ends the sending of a guest, on whichever side of it this one is. */
  end(id: GuestId): void {
    this.#sending.get(id)?.fail(new DriverError('not_running', `Migrate of guest ${id}: it was destroyed`));
    for (const stream of this.#incoming.get(id) ?? []) stream.destroy();
    this.#incoming.delete(id);
  }

  endAll(): void {
    for (const id of [...this.#incoming.keys(), ...this.#sending.keys()]) this.end(id);
  }

  /** One that has gone, and is to go once more, goes on here first. */
  #begin(id: GuestId): Promise<{ spec: GuestSpec; ran: boolean }> {
    return this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (!record) throw new DriverError('guest_not_found', `Guest ${id} was not created`);
      const { spec, state, move } = record;
      if (move?.to === 'here') throw notHere(id, 'Migrate', move);
      if (state !== 'running' && state !== 'paused')
        throw new DriverError('not_running', `Migrate of guest ${id}: it is ${state}`);
      const ran = move ? move.ran : state === 'running';
      if (move) await this.#store.write(id, { ...record, state: ran ? 'running' : 'paused', move: null });
      return { spec, ran };
    });
  }

  async #takeDisks(id: GuestId, stream: Duplex): Promise<void> {
    for await (const { disks } of messages<DisksMessage>(stream)) {
      await this.#come(id, async (record) => {
        for (const { name } of disksOf(record.spec)) await this.#store.writeDisk({ id }, name, disks[name] ?? '');
        return { disks: true };
      });
      await say(stream, 'ok');
    }
  }

  async #takeMemory(id: GuestId, stream: Duplex): Promise<void> {
    let said = '';
    let isWhole = false;
    try {
      for await (const { console, last } of messages<MemoryMessage>(stream)) {
        said += console;
        if (!last) continue;
        await this.#come(id, async () => {
          await this.#store.appendConsole(id, said);
          return { memory: true };
        });
        isWhole = true;
        await say(stream, 'ok');
      }
    } finally {
      if (!isWhole) await this.#dieComing(id);
    }
  }

  /** Notes that a part has come, if it is expected still. */
  async #come(id: GuestId, take: (record: FakeRecord) => Promise<Partial<FakeMove>>): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (record?.move?.to !== 'here') throw new DriverError('not_running', `Guest ${id} is not expected any more`);
      const come = await take(record);
      await this.#store.write(id, { ...record, move: { ...record.move, ...come } as FakeMove });
    });
  }

  /** As a real hypervisor does whose stream ends too early. */
  async #dieComing(id: GuestId): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = await this.#store.read(id);
      if (record?.move?.to !== 'here' || record.move.memory || record.state !== 'paused') return;
      await this.#store.write(id, { ...record, state: 'crashed', reason: 'its memory did not come to the end' });
    });
  }
}

/** Why a guest with a process is no guest like others; null for one that is. */
export function reasonOf(move: FakeMove | null): string | null {
  if (!move) return null;
  return move.to === 'here' ? 'it comes from another host' : 'it has gone to another host';
}

/** For what cannot be done with a guest that comes, or has gone. */
export function notHere(id: GuestId, what: string, move: FakeMove): DriverError {
  const where = move.to === 'here' ? 'still comes from another host' : 'has gone to another host';
  return new DriverError('not_running', `${what} of guest ${id}: it ${where}`);
}

/** The job's time, cut short by `hurry`. */
async function passUnless(
  hurry: AbortSignal,
  control: JobControl,
  pass: (control: JobControl) => Promise<void>,
): Promise<void> {
  try {
    await pass({ ...control, signal: AbortSignal.any([control.signal, hurry]) });
  } catch (error) {
    control.signal.throwIfAborted();
    if (!hurry.aborted) throw error;
  }
}
