/** Guests that go from one QEMU to another, on whichever side of it this one is. What changes one needs its lock. */

import type { Socket } from 'node:net';
import type { GuestId, GuestSpec, JobControl, MoveOptions, MoveStream } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksOf, readSpec } from '../guest-files.ts';
import { connectIncoming, launchIncoming, makeEmptyFiles, makeFilesBeside } from './arrival.ts';
import type { Execution, ExecutionHost } from './execution.ts';
import { RunningGuest } from './guest.ts';
import type { Guests } from './guests.ts';
import { locate } from './handle.ts';
import { dropMove, type Move, readMove, writeMove } from './move-note.ts';
import { hasSent, removeSending, type SendOrder, sendGuest } from './send.ts';

const MIB = 2 ** 20;

/** See the head of this file. */
export class Moves {
  readonly #guests: Guests;
  readonly #execution: Execution;
  readonly #host: ExecutionHost;
  /** Those that are being sent, with what stops their processors. */
  readonly #sending = new Map<GuestId, () => Promise<void>>();

  constructor(guests: Guests, execution: Execution, host: ExecutionHost) {
    this.#guests = guests;
    this.#execution = execution;
    this.#host = host;
  }

  /** What `receive` promises. */
  async receive(spec: GuestSpec, { sharedDisks = false }: MoveOptions): Promise<void> {
    const { id } = spec;
    const dir = this.#guests.dir(id);
    if ((await readSpec(dir)) && (await readMove(dir))?.to !== 'here')
      throw new DriverError('command_failed', `Receive of guest ${id}: there is one already`);
    await this.#guests.end(id);
    const empty: GuestSpec = { ...spec, disk: asEmpty(spec.disk), otherDisks: spec.otherDisks.map(asEmpty) };
    const tools = this.#host.tools(id);
    if (sharedDisks) await makeFilesBeside(dir, empty, tools);
    else await makeEmptyFiles(dir, empty, tools);
    const launched = await launchIncoming(dir, empty, await this.#host.accelerator(), tools, { sharedDisks });
    this.#guests.adopt(id, new RunningGuest(dir, launched));
  }

  /** What `openIncoming` promises; needs no lock. */
  async openIncoming(id: GuestId, stream: MoveStream): Promise<Socket> {
    const dir = this.#guests.dir(id);
    if ((await readMove(dir))?.to !== 'here')
      throw new DriverError('not_running', `Guest ${id} does not come from another host`);
    try {
      // Sockets outlive the main thread of a process that ends.
      if ((await locate(dir)).at !== 'running') throw new Error('its process has ended');
      return await connectIncoming(dir, stream);
    } catch (cause) {
      throw new DriverError('not_running', `Receive of guest ${id}: nobody listens`, { cause });
    }
  }

  /** What `migrate` promises. */
  async send(
    spec: GuestSpec,
    open: SendOrder['open'],
    control: JobControl,
    { sharedDisks = false }: MoveOptions,
  ): Promise<void> {
    const { id } = spec;
    const dir = this.#guests.dir(id);
    const guest = await this.#execution.living(id, 'Migrate');
    const before = await readMove(dir);
    if (before?.to === 'here') throw notRunning(id, 'Migrate', before);
    // One that has gone, and is to go once more.
    if (before?.to === 'elsewhere') await this.#letStay(guest, dir, before.ran);
    const ran = (await guest.doing()).state === 'running';
    control.signal.throwIfAborted();
    await writeMove(dir, { to: 'elsewhere', ran, whole: false });
    let stopping: Promise<void> | undefined;
    this.#sending.set(id, () => (stopping ??= guest.pause()));
    const disks = sharedDisks ? [] : disksOf(spec).map(({ name }) => name);
    const { user, moveBytesPerSecond: bytesPerSecond } = this.#host;
    const order: SendOrder = { dir, user, open, disks, memoryBytes: spec.memoryMib * MIB, bytesPerSecond };
    try {
      await guest.unheard(() => sendGuest(guest.qmp, order, control));
      await writeMove(dir, { to: 'elsewhere', ran, whole: true });
    } catch (error) {
      this.#sending.delete(id);
      await stopping?.catch(() => undefined); // or it would be stopped after it was let go on
      await this.#letStay(guest, dir, ran).catch((cause: unknown) =>
        this.#host.warn(id, cause, 'a guest that could not be sent may stand still'),
      );
      throw error;
    } finally {
      this.#sending.delete(id);
    }
  }

  /** What `hurry` promises; needs no lock. */
  async hurry(id: GuestId): Promise<void> {
    const stop = this.#sending.get(id);
    if (!stop) throw new DriverError('command_failed', `Guest ${id} is not being sent to another host`);
    await stop();
  }

  /** What a killed predecessor began with this guest, and nobody will end: it stays, unless everything of it is elsewhere. */
  async repair(id: GuestId, guest: RunningGuest): Promise<void> {
    const dir = this.#guests.dir(id);
    const move = await readMove(dir);
    if (move?.to !== 'elsewhere' || this.#sending.has(id)) return;
    if (!(await hasSent(guest.qmp))) return this.#letStay(guest, dir, move.ran);
    await removeSending(guest.qmp, dir);
    await writeMove(dir, { ...move, whole: true });
  }

  /** Throws while a guest comes, or has gone. */
  async requireHere(id: GuestId, what: string): Promise<void> {
    const dir = this.#guests.dir(id);
    if (!(await readMove(dir))) return;
    await this.#guests.find(id); // which ends what a killed predecessor began
    const move = await readMove(dir);
    if (move?.to === 'here' || move?.whole) throw notRunning(id, what, move);
  }

  /** As if nobody had begun to send it. */
  async #letStay(guest: RunningGuest, dir: string, ran: boolean): Promise<void> {
    await removeSending(guest.qmp, dir);
    if (ran) await guest.resume();
    else await guest.pause();
    await dropMove(dir);
  }
}

function notRunning(id: GuestId, what: string, move: Move): DriverError {
  const where = move.to === 'here' ? 'still comes from another host' : 'has gone to another host';
  return new DriverError('not_running', `${what} of guest ${id}: it ${where}`);
}

/** Nothing is copied: it comes. */
function asEmpty({ name, base, baseFormat, sizeBytes }: GuestSpec['disk']): GuestSpec['disk'] {
  return { name, base, baseFormat, sizeBytes };
}
