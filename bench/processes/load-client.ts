/**
 * Puts load on a URL over keep-alive connections for some seconds and prints how many requests per second were answered
 * with 200; used where `wrk` is not installed. Arguments: URL, connections, seconds, headers as JSON.
 */
import { connect } from 'node:net';

const [target = '', connections = '8', seconds = '5', headers = '{}'] = process.argv.slice(2);
const url = new URL(target);
const lines = Object.entries(JSON.parse(headers) as Record<string, string>).map(([name, value]) => `${name}: ${value}`);
const question = [`GET ${url.pathname}${url.search} HTTP/1.1`, `host: ${url.host}`, ...lines, '', ''].join('\r\n');
const until = performance.now() + Number(seconds) * 1000;
const begun = performance.now();
let answered = 0;

/** Counts bytes instead of parsing, so that the generator costs little: all answers here carry a content-length. */
function drive(): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(Number(url.port), url.hostname);
    socket.setNoDelay(true);
    let pending = Buffer.alloc(0);
    let missing = 0;
    const ask = () => {
      if (performance.now() >= until) socket.end(resolve);
      else socket.write(question);
    };
    socket.on('connect', ask);
    socket.on('error', reject);
    socket.on('data', (piece: Buffer) => {
      if (missing === 0) {
        pending = Buffer.concat([pending, piece]);
        const end = pending.indexOf('\r\n\r\n');
        if (end < 0) return;
        const head = pending.toString('latin1', 0, end);
        if (!head.startsWith('HTTP/1.1 200')) return void reject(new Error(head));
        const length = Number(/\r\ncontent-length: *(\d+)/i.exec(head)?.[1]);
        missing = length - (pending.length - end - 4);
        pending = Buffer.alloc(0);
      } else missing -= piece.length;
      if (missing > 0) return;
      answered += 1;
      ask();
    });
  });
}

process.stdout.write('ready\n');
await Promise.all(Array.from({ length: Number(connections) }, drive));
process.stdout.write(`${answered / ((performance.now() - begun) / 1000)}\n`);
