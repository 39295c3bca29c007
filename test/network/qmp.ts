/** One command to a QEMU, on a connection of its own: for those that the driver does not have. */
import { createInterface } from 'node:readline';
import { connectUnix } from '#services/compute/driver/qemu/unix-socket.ts';

/** Rejects with QEMU's words, and where there is no QEMU. */
export async function qmp(path: string, command: string, args: object = {}): Promise<unknown> {
  const socket = await connectUnix(path);
  socket.on('error', () => undefined); // the lines end then
  const send = (execute: string, words: object) => socket.write(`${JSON.stringify({ execute, arguments: words })}\n`);
  try {
    let answers = 0;
    for await (const line of createInterface({ input: socket })) {
      const message = JSON.parse(line) as { QMP?: object; return?: unknown; error?: { desc: string } };
      if (message.QMP) send('qmp_capabilities', {});
      if (message.error) throw new Error(`${command}: ${message.error.desc}`);
      if (!('return' in message)) continue;
      answers++;
      if (answers === 1) send(command, args);
      else return message.return;
    }
    throw new Error(`${command}: QEMU is gone`);
  } finally {
    socket.destroy();
  }
}
