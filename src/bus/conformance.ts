/**
 * What every transport must do, and what calls, casts and jobs must do over it: run on the memory transport here, and on
 * RabbitMQ with the same code. Faults (lost, doubled, late messages) are put between the two, so that they are the same
 * for every transport.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import pino from 'pino';
import { Type } from 'typebox';
import { contract } from '#contracts/contract.ts';
import { CloudError } from '#domain/errors.ts';
import { type Handlers, Rpc } from './rpc.ts';
import type { PublishOptions, Transport } from './transport.ts';

/** A transport of its own for each test, with nothing in its queues. */
export type OpenTransport = () => Promise<Transport>;

const log = pino({ level: 'silent' });
const Text = Type.Object({ text: Type.String() });

const testContract = contract('tested', {
  ask: { kind: 'call', timeout: 'fast', input: Text, output: Text, doc: 'Answers.' },
  tell: { kind: 'cast', timeout: 'fast', input: Text, output: Type.Object({}), doc: 'Is told.' },
  work: { kind: 'job', timeout: 'fast', input: Text, output: Text, doc: 'Works long.' },
});
type Tested = Handlers<typeof testContract>;

const unused = async (): Promise<never> => {
  throw new Error('not for this test');
};

/** Changes what is published: none, one or more copies, each after so many ms. */
type Mangle = (message: { readonly type: string; readonly method?: string }) => readonly number[];

export function busConformance(name: string, open: OpenTransport): void {
  describe(`bus: ${name}`, { timeout: 30_000 }, () => {
    transportTests(open);
    rpcTests(open);
    faultTests(open);
  });
}

function transportTests(open: OpenTransport): void {
  test('a message comes to one subscriber, whenever it comes', async () => {
    const transport = await open();
    await transport.publish('topic', 'early');
    const got = collector(2);
    await transport.subscribe('topic', got.take);
    await transport.subscribe('topic', got.take);
    await transport.publish('topic', 'late');
    assert.deepEqual((await got.all).toSorted(), ['early', 'late']);
    await transport.close();
  });

  test('it says whether anything can be sent', async () => {
    const transport = await open();
    await transport.publish('topic', 'any');
    assert.equal(transport.trouble(), null);
    await transport.close();
    assert.match(transport.trouble() ?? '', /bus is closed/);
  });

  test('a handler that fails gets the message again', async () => {
    const transport = await open();
    let failures = 2;
    const got = collector(1);
    const again: boolean[] = [];
    await transport.subscribe('topic', async (message, isAgain) => {
      again.push(isAgain);
      if (failures-- > 0) throw new Error('not yet');
      await got.take(message);
    });
    await transport.publish('topic', 'again');
    assert.deepEqual(await got.all, ['again']);
    assert.deepEqual(again, [false, true, true]);
    await transport.close();
  });

  test('what a subscriber failed at comes to the next, when it has closed meanwhile', async () => {
    const transport = await open();
    const failed = Promise.withResolvers<void>();
    const first = await transport.subscribe('topic', async () => {
      failed.resolve();
      throw new Error('never');
    });
    await transport.publish('topic', 'kept');
    await failed.promise;
    await first.close();
    const got = collector(1);
    await transport.subscribe('topic', got.take);
    assert.deepEqual(await got.all, ['kept']);
    await transport.close();
  });

  test('closing a subscription waits for what is in hand', async () => {
    const transport = await open();
    const begun = Promise.withResolvers<void>();
    const go = Promise.withResolvers<void>();
    let ended = false;
    const subscription = await transport.subscribe('topic', async () => {
      begun.resolve();
      await go.promise;
      ended = true;
    });
    await transport.publish('topic', 'slow');
    await begun.promise;
    const closed = subscription.close();
    go.resolve();
    await closed;
    assert.ok(ended);
    await transport.close();
    await assert.rejects(transport.publish('topic', 'too late'));
  });
}

function rpcTests(open: OpenTransport): void {
  test('a call is answered, or fails as its handler did', async () => {
    await using bus = await Bus.open(open, {
      ask: async ({ text }) => {
        if (text === 'bad') throw new CloudError('hypervisorFailed', { what: 'ask', reason: 'bad' });
        return { text: text.toUpperCase() };
      },
    });
    assert.deepEqual(await bus.client.ask({ text: 'hello' }), { text: 'HELLO' });
    await assert.rejects(bus.client.ask({ text: 'bad' }), { code: 'hypervisorFailed', message: 'ask: bad' });
  });

  test('input and output that the contract does not allow are refused', async () => {
    // biome-ignore lint/suspicious/noExplicitAny: what the types forbid is what is tested
    const wrong: any = { number: 1 };
    await using bus = await Bus.open(open, { ask: async () => wrong });
    await assert.rejects(bus.client.ask(wrong), /input/);
    await assert.rejects(bus.client.ask({ text: 'right' }), { code: 'internal' });
  });

  test('a cast whose handler fails is told again', async () => {
    const got = collector(1);
    let failures = 1;
    await using bus = await Bus.open(open, {
      tell: async ({ text }) => {
        if (failures-- > 0) throw new CloudError('serviceUnavailable', { reason: 'not yet' });
        await got.take(text);
        return {};
      },
    });
    await bus.client.tell({ text: 'heard' });
    assert.deepEqual(await got.all, ['heard']);
  });

  test('a job tells how far it is, and ends with its answer', async () => {
    const go = Promise.withResolvers<void>();
    await using bus = await Bus.open(open, {
      work: async ({ text }, { onProgress }) => {
        onProgress({ done: 1, total: 2 });
        await go.promise;
        return { text };
      },
    });
    const seen: unknown[] = [];
    const onProgress = (progress: unknown) => {
      seen.push(progress);
      go.resolve();
    };
    assert.deepEqual(await bus.client.work({ text: 'done' }, { onProgress }), { text: 'done' });
    assert.deepEqual(seen[0], { done: 1, total: 2 });
  });

  test('a cancel ends the job at both ends', async () => {
    const abort = new AbortController();
    const ended = Promise.withResolvers<unknown>();
    await using bus = await Bus.open(open, { work: untilAborted(() => abort.abort(stopped), ended.resolve) });
    const stopped = new CloudError('cancelled', { reason: 'enough' });
    await assert.rejects(bus.client.work({ text: 'long' }, { signal: abort.signal }), { message: 'Cancelled: enough' });
    assert.equal(((await ended.promise) as CloudError).code, 'cancelled');
  });

  test('a cancel does not end work that somebody else waits for', async () => {
    const go = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    await using bus = await Bus.open(open, {
      work: async ({ text }, { signal }) => {
        begun.resolve();
        await go.promise;
        signal.throwIfAborted();
        return { text };
      },
    });
    const abort = new AbortController();
    const first = bus.client.work({ text: 'shared' }, { key: 'same', signal: abort.signal });
    await begun.promise;
    const joined = Promise.withResolvers<void>();
    const second = bus.client.work({ text: 'shared' }, { key: 'same', onProgress: () => joined.resolve() });
    await bus.client.ask({ text: 'both are there now' }).catch(() => undefined);
    abort.abort(new CloudError('cancelled', { reason: 'the first' }));
    await assert.rejects(first, /the first/);
    go.resolve();
    assert.deepEqual(await second, { text: 'shared' });
  });

  test('nobody there: the deadline ends the call, and what comes too late is not begun', async () => {
    const transport = await open();
    const rpc = new Rpc({ transport, log });
    const client = rpc.client(testContract, 'test');
    const begun = Date.now();
    await assert.rejects(client.ask({ text: 'hello?' }, { timeoutMs: 30 }), { code: 'deadlineExceeded' });
    // A timer may be a moment early by the clock that deadlines are told by.
    while (Date.now() <= begun + 31) await new Promise((resolve) => setImmediate(resolve));
    let calls = 0;
    const ask = async ({ text }: { text: string }) => {
      calls += 1;
      return { text };
    };
    await rpc.serve(testContract, { ask, tell: unused, work: unused }, { name: 'tested', log });
    assert.deepEqual(await client.ask({ text: 'now' }), { text: 'now' });
    assert.equal(calls, 1);
    await rpc.close();
    await transport.close();
  });

  test('closing ends what waits and what runs', async () => {
    const begun = Promise.withResolvers<void>();
    const bus = await Bus.open(open, { work: untilAborted(begun.resolve, () => undefined) });
    const waiting = assert.rejects(bus.client.work({ text: 'long' }), { code: 'serviceUnavailable' });
    await begun.promise;
    await bus[Symbol.asyncDispose]();
    await waiting;
  });
}

function faultTests(open: OpenTransport): void {
  const counting = () => {
    const counted = { runs: 0, ask: async ({ text }: { text: string }) => ({ text: `${text} ${++counted.runs}` }) };
    return counted;
  };

  test('a doubled, late and reordered call is done once', async () => {
    const counted = counting();
    await using bus = await Bus.open(open, counted, () => [20, 0, 10]);
    assert.deepEqual(await bus.client.ask({ text: 'run' }), { text: 'run 1' });
    await bus.quiet();
    assert.equal(counted.runs, 1);
  });

  test('a call that failed is not done by a copy that comes late', async () => {
    let runs = 0;
    const ask = async () => {
      runs += 1;
      throw new CloudError('hypervisorFailed', { what: 'ask', reason: 'once' });
    };
    await using bus = await Bus.open(open, { ask }, ({ type }) => (type === 'request' ? [0, 40] : [0]));
    await assert.rejects(bus.client.ask({ text: 'run' }, { key: 'k' }), { code: 'hypervisorFailed' });
    await bus.quiet();
    assert.equal(runs, 1);
    await assert.rejects(bus.client.ask({ text: 'run' }, { key: 'k' }), { code: 'hypervisorFailed' });
    assert.equal(runs, 2, 'but asking anew tries again');
  });

  test('a cancel that overtakes its request keeps it from beginning', async () => {
    let runs = 0;
    const work = async ({ text }: { text: string }) => {
      runs += 1;
      return { text };
    };
    await using bus = await Bus.open(open, { work }, ({ type }) => (type === 'request' ? [40] : [0]));
    const abort = new AbortController();
    const asked = bus.client.work({ text: 'never' }, { signal: abort.signal, key: 'k' });
    abort.abort(new CloudError('cancelled', { reason: 'at once' }));
    await assert.rejects(asked, { code: 'cancelled' });
    await bus.quiet();
    assert.equal(runs, 0);
    assert.deepEqual(await bus.client.work({ text: 'anew' }, { key: 'k' }), { text: 'anew' });
  });

  test('a call whose answer was lost is repeated, and gets the answer that was given', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const counted = counting();
    let lost = 0;
    const answered = Promise.withResolvers<void>();
    await using bus = await Bus.open(open, counted, ({ type }) => {
      if (type !== 'done' || lost++ > 0) return [0];
      answered.resolve();
      return [];
    });
    const asked = bus.client.ask({ text: 'run' }, { key: 'k', timeoutMs: 20_000 });
    await answered.promise;
    t.mock.timers.tick(5_000);
    assert.deepEqual(await asked, { text: 'run 1' });
    assert.deepEqual([counted.runs, lost], [1, 2]);
  });

  test('a request that was lost is sent again', async (t) => {
    t.mock.timers.enable({ apis: ['setInterval'] });
    const counted = counting();
    let lost = 0;
    await using bus = await Bus.open(open, counted, ({ type }) => (type === 'request' && lost++ === 0 ? [] : [0]));
    const asked = bus.client.ask({ text: 'run' }, { timeoutMs: 20_000 });
    while (lost === 0) await new Promise((resolve) => setImmediate(resolve));
    t.mock.timers.tick(5_000);
    assert.deepEqual(await asked, { text: 'run 1' });
  });

  test('a doubled job is done once, a doubled cast too', async () => {
    let jobs = 0;
    const told: string[] = [];
    await using bus = await Bus.open(
      open,
      {
        work: async ({ text }) => ({ text: `${text} ${++jobs}` }),
        tell: async ({ text }) => {
          told.push(text);
          return {};
        },
      },
      () => [0, 5, 30],
    );
    assert.deepEqual(await bus.client.work({ text: 'job' }, { key: 'j' }), { text: 'job 1' });
    await bus.client.tell({ text: 'once' });
    await bus.quiet();
    assert.deepEqual([jobs, told], [1, ['once']]);
  });
}

/** A server and a client of the tested contract over a transport that mangles. */
class Bus implements AsyncDisposable {
  readonly client;
  readonly #rpc: Rpc;
  readonly #transport: Transport;
  readonly #late = new Set<Promise<void>>();

  private constructor(transport: Transport, mangle: Mangle) {
    this.#transport = transport;
    this.#rpc = new Rpc({
      transport: { ...transport, publish: (topic, text, options) => this.#publish(topic, text, mangle, options) },
      log,
    });
    this.client = this.#rpc.client(testContract, 'test');
  }

  static async open(open: OpenTransport, handlers: Partial<Tested>, mangle: Mangle = () => [0]): Promise<Bus> {
    const bus = new Bus(await open(), mangle);
    const all = { ask: unused, tell: unused, work: unused, ...handlers };
    await bus.#rpc.serve(testContract, all, { name: 'tested', log });
    return bus;
  }

  /** Resolves when every late copy was delivered and handled. */
  async quiet(): Promise<void> {
    while (this.#late.size > 0) await Promise.all(this.#late);
    const settled = Promise.withResolvers<void>();
    const probe = await this.#transport.subscribe('quiet', async () => settled.resolve());
    await this.#transport.publish('quiet', 'after all others');
    await settled.promise;
    await probe.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rpc.close();
    await this.quiet();
    await this.#transport.close();
  }

  async #publish(topic: string, text: string, mangle: Mangle, options?: PublishOptions): Promise<void> {
    for (const ms of mangle(JSON.parse(text))) {
      if (ms === 0) await this.#transport.publish(topic, text, options);
      else {
        const sent = new Promise<void>((resolve) => setTimeout(resolve, ms)).then(() =>
          this.#transport.publish(topic, text, options),
        );
        this.#late.add(sent);
        void sent.finally(() => this.#late.delete(sent));
      }
    }
  }
}

/** A job that goes on until it is told to stop. */
function untilAborted(begun: () => void, ended: (reason: unknown) => void): Tested['work'] {
  return (_, { signal }) =>
    new Promise((_, reject) => {
      signal.addEventListener('abort', () => {
        ended(signal.reason);
        reject(signal.reason);
      });
      begun();
    });
}

/** Takes so many messages. */
function collector(count: number) {
  const taken: string[] = [];
  const { promise: all, resolve } = Promise.withResolvers<readonly string[]>();
  const take = async (message: string) => {
    taken.push(message);
    if (taken.length === count) resolve(taken);
  };
  return { all, take };
}
