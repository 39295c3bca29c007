/**
 * A listening socket in another network namespace, used from this one: a Node that is started there listens, hands its socket over and ends.
 * So requests are heard as they come, with the address of who sent them.
 */
import { spawn } from 'node:child_process';
import type { Server } from 'node:net';

const PROGRAM = `
const { createServer } = require('node:net');
const server = createServer({ pauseOnConnect: true });
server.once('error', (error) => { process.send({ error: error.message }, () => process.exit(1)); });
server.listen(Number(process.argv[2]), process.argv[1], () => process.send({}, server, () => process.exit(0)));
`;

/** `words`: what a command there begins with. Rejects with what was said when it cannot listen. */
export function listenElsewhere(words: readonly string[], address: string, port: number): Promise<Server> {
  const { promise, resolve, reject } = Promise.withResolvers<Server>();
  const [command = '', ...rest] = [...words, process.execPath, '-e', PROGRAM, address, `${port}`];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin`, NODE_OPTIONS: '' },
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-2_000);
  });
  child.once('error', reject);
  child.once('exit', (status) => reject(new Error(`listening at ${address} failed (${status}): ${said.trim()}`)));
  // The handle is what the program above sends.
  child.once('message', (message: { error?: string }, handle) => {
    if (handle) resolve(handle as Server);
    else reject(new Error(`listening at ${address} failed: ${message.error}`));
  });
  return promise;
}
