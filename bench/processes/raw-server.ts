/**
 * What Node's own HTTP server does at best, as the baseline: `bytes FILE` answers every request with the status, headers
 * and body in that JSON file; `files DIR` stores what is PUT and streams what is asked for, with no other work.
 */
import { createReadStream, createWriteStream, readFileSync } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

const [mode = '', path = ''] = process.argv.slice(2);
const server = mode === 'bytes' ? createServer(sameBytes(path)) : createServer((from, to) => void file(path, from, to));
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
});

function sameBytes(recorded: string) {
  // Written by the benchmark that starts us.
  const { headers, body } = JSON.parse(readFileSync(recorded, 'utf8')) as {
    headers: Record<string, string>;
    body: string;
  };
  const bytes = Buffer.from(body);
  return (_from: IncomingMessage, to: ServerResponse) => {
    to.writeHead(200, headers);
    to.end(bytes);
  };
}

async function file(dir: string, from: IncomingMessage, to: ServerResponse): Promise<void> {
  const name = join(dir, basename(from.url ?? ''));
  if (from.method === 'PUT') {
    await pipeline(from, createWriteStream(name));
    if (from.headers['x-durable'] === 'yes') {
      const handle = await open(name, 'r+');
      await handle.sync();
      await handle.close();
    }
    to.writeHead(204).end();
  } else {
    to.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': (await stat(name)).size });
    await pipeline(createReadStream(name), to);
  }
}
