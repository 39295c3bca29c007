/**
 * A load balancer for tests: sends requests in turn to the processes whose `/readyz` says that they are ready, over connections
 * that are kept. It tries nothing twice, so that every request that a process loses is seen as a 502.
 */
import { once } from 'node:events';
import { Agent, createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream/promises';

interface Backend {
  readonly name: string;
  readonly url: string;
  readonly health: string;
  isReady: boolean;
  served: number;
}

const LOOK_EVERY_MS = 100;

export class Balancer implements AsyncDisposable {
  readonly #server: Server;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #backends = new Map<string, Backend>();
  readonly #timer: NodeJS.Timeout;
  #next = 0;

  private constructor() {
    this.#server = createServer((incoming, response) => void this.#forward(incoming, response));
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS);
  }

  static async start(): Promise<Balancer> {
    const balancer = new Balancer();
    balancer.#server.listen(0, '127.0.0.1');
    await once(balancer.#server, 'listening');
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Adds a process, or says where it is now. */
  backend(name: string, at: { readonly url: string; readonly health: string }): void {
    this.#backends.set(name, { name, ...at, isReady: false, served: 0 });
  }

  isReady(name: string): boolean {
    return this.#backends.get(name)?.isReady ?? false;
  }

  /** Requests that it answered since it was added last. */
  served(name: string): number {
    return this.#backends.get(name)?.served ?? 0;
  }

  async #look(): Promise<void> {
    await Promise.all(
      [...this.#backends.values()].map(async (backend) => {
        const answer = await fetch(`${backend.health}/readyz`).catch(() => null);
        await answer?.body?.cancel();
        backend.isReady = answer?.status === 200;
      }),
    );
  }

  async #forward(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const ready = [...this.#backends.values()].filter((backend) => backend.isReady);
    const backend = ready[this.#next++ % Math.max(1, ready.length)];
    if (!backend) {
      response.writeHead(502).end('nobody is ready');
      return;
    }
    const { method = 'GET', url = '/', headers } = incoming;
    const { connection: _, ...passed } = headers;
    const outgoing = request(new URL(url, backend.url), { method, headers: passed, agent: this.#agent });
    const answered = once(outgoing, 'response') as Promise<[IncomingMessage]>;
    try {
      const sent = pipeline(incoming, outgoing);
      const [[answer]] = await Promise.all([answered, sent]);
      const { connection: _hop, 'keep-alive': _also, ...answerHeaders } = answer.headers;
      response.writeHead(answer.statusCode ?? 502, answerHeaders);
      await pipeline(answer, response);
      backend.served += 1;
    } catch (error) {
      if (!response.headersSent) response.writeHead(502);
      response.end(`${backend.name}: ${(error as Error).message}`);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await closed;
  }
}
