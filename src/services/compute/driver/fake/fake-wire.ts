/**
 * What fake guests send each other when they move: on each stream lines of JSON one way, and a line `ok` back for the last. The disks'
 * stream carries their contents, that of the memory what the guest has said on its console, in pieces.
 */

import type { Duplex } from 'node:stream';
import { DriverError } from '../driver-error.ts';

/** All of the disks, by name. */
export interface DisksMessage {
  readonly disks: Readonly<Record<string, string>>;
}

/** A piece of the memory; `last` says that it is whole. */
export interface MemoryMessage {
  readonly console: string;
  readonly last: boolean;
}

/** Sends a message, no faster than it is taken. */
export async function say(stream: Duplex, message: DisksMessage | MemoryMessage | 'ok'): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const onClose = () => reject(broken());
    stream.once('close', onClose);
    stream.write(`${JSON.stringify(message)}\n`, (error) => {
      stream.off('close', onClose);
      if (error) reject(error);
      else resolve();
    });
  });
}

/** The messages that come, each to be taken before the next; ends with the stream's end. */
export async function* messages<T>(stream: Duplex): AsyncGenerator<T> {
  stream.setEncoding('utf8');
  let text = '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false })) {
    text += chunk;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      yield JSON.parse(text.slice(0, end)) as T; // written by `say` of another fake driver
      text = text.slice(end + 1);
    }
  }
}

/** Waits until the other side says that it has everything. */
export async function acknowledged(stream: Duplex): Promise<void> {
  for await (const message of messages<unknown>(stream)) if (message === 'ok') return;
  throw broken();
}

function broken(): DriverError {
  return new DriverError('command_failed', 'the stream to the other side broke');
}
