/**
 * A server with a real guest, as the end-to-end tests use it: actions through the API, and a shell in the guest through its
 * serial line, which is how they see what an operation did.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { openSerial, type SerialConsole } from '../../src/cli/serial-console.ts';
import type { Client, User } from '../client.ts';
import { guestProcesses, type TestCloud, testCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import type { ShownAction } from '../server.ts';

export const PASSWORD = 'correct-horse';
/** Counts in the memory of a process; what it reached is where only memory is. */
export const COUNT = '(n=0; while :; do n=$((n+1)); echo $n > /run/counter; usleep 20000; done) > /dev/null 2>&1 & :';

/** A cloud with real guests that shut down within their own time. */
export function realCloud(config: Readonly<Record<string, string | number>> = {}): Promise<TestCloud> {
  return testCloud({ driver: 'qemu', config });
}

/** The guest image, registered with these properties; answers its id. */
export async function guestImage(cloud: TestCloud, properties: Readonly<Record<string, string>> = {}): Promise<string> {
  const client = await cloud.as('demo');
  const wanted = { name: 'guest', disk_format: 'qcow2', container_format: 'bare', ...properties };
  const { id } = await client.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
  await client.ok('PUT', `/image/v2/images/${id}/file`, { bytes: readFileSync(guestImagePath()) });
  return id;
}

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly fault?: { readonly message: string };
  readonly flavor: unknown;
  readonly hostId: string;
  readonly image: { readonly id: string };
  readonly addresses: unknown;
  readonly [key: string]: unknown;
}

export class RealServer {
  readonly id: string;
  readonly #cloud: TestCloud;

  private constructor(cloud: TestCloud, id: string) {
    this.#cloud = cloud;
    this.id = id;
  }

  /** Launches a server and waits until it is ACTIVE. */
  static async launch(cloud: TestCloud, imageRef: string, more: object = {}): Promise<RealServer> {
    const client = await cloud.as('demo');
    const server = { name: 'web', imageRef, flavorRef: '42', networks: 'auto', adminPass: PASSWORD, ...more };
    const body = await client.ok<{ server: { id: string } }>('POST', '/compute/v2.1/servers', { json: { server } });
    const launched = new RealServer(cloud, body.server.id);
    await launched.is('ACTIVE');
    return launched;
  }

  /** One that there is. */
  static at(cloud: TestCloud, id: string): RealServer {
    return new RealServer(cloud, id);
  }

  get path(): string {
    return `/compute/v2.1/servers/${this.id}`;
  }

  /** The folder of its guest. */
  get dir(): string {
    return join(this.#cloud.data, 'instances', this.id);
  }

  async show(): Promise<Shown | null> {
    const answer = await (await this.#client()).request<{ server: Shown }>('GET', this.path);
    return answer.status === 404 ? null : answer.body.server;
  }

  /** Waits for a status with nothing going on. */
  is(status: string): Promise<Shown> {
    return eventually(
      `server ${status}`,
      async () => {
        const shown = await this.show();
        return shown?.status === status && shown['OS-EXT-STS:task_state'] === null ? shown : null;
      },
      { state: () => this.show(), withinMs: 60_000 },
    );
  }

  /** Asks for an action and waits until what it began is done; answers its body and the request id. */
  async act(action: object, options: { readonly as?: User; readonly ends?: string } = {}) {
    const answer = await this.ask(action, options.as);
    assert.ok(answer.status < 300, `${JSON.stringify(action)}: ${answer.status} ${JSON.stringify(answer.body)}`);
    const operation = await eventually(
      `the end of ${JSON.stringify(action)}`,
      () =>
        this.#cloud.db.queries
          .selectFrom('operations')
          .selectAll()
          .where('request_id', '=', answer.requestId)
          .where((e) => e.or([e('finished_at', 'is not', null), e('state', '=', 'needs_attention')]))
          .executeTakeFirst(),
      { withinMs: 90_000, state: () => this.show() },
    );
    assert.equal(operation.state, options.ends ?? 'done', operation.error ?? '');
    return answer;
  }

  /** Asks for an action; whether it is accepted is the test's business. */
  async ask(action: object, as: User = 'demo') {
    const client = await this.#client(as);
    return client.request<Record<string, string>>('POST', `${this.path}/action`, { json: action });
  }

  /** What a request did, or what happened by itself: the newest action. */
  async lastAction(): Promise<ShownAction> {
    const client = await this.#client();
    const path = `${this.path}/os-instance-actions`;
    const { instanceActions } = await client.ok<{ instanceActions: { request_id: string }[] }>('GET', path);
    const newest = instanceActions[0]?.request_id;
    return (await client.ok<{ instanceAction: ShownAction }>('GET', `${path}/${newest}`)).instanceAction;
  }

  /** A root shell in the guest, once it has booted. One at a time. */
  async shell(password = PASSWORD): Promise<Shell> {
    // QEMU makes its socket before it executes, so a guest that is ACTIVE has one.
    const serial = await openSerial(join(this.dir, 'serial.sock'));
    await serial.login(password);
    return new Shell(serial);
  }

  /** Runs one command in the guest; answers what it printed. */
  async run(command: string, password = PASSWORD): Promise<string> {
    using shell = await this.shell(password);
    return await shell.run(command);
  }

  /** Of its QEMU; undefined when there is none. */
  get pid(): number | undefined {
    return guestProcesses(this.dir)[0];
  }

  #client(as: User = 'demo'): Promise<Client> {
    return this.#cloud.as(as);
  }
}

export class Shell implements Disposable {
  readonly #serial: SerialConsole;

  constructor(serial: SerialConsole) {
    this.#serial = serial;
  }

  /** What the command printed; it must succeed. */
  async run(command: string): Promise<string> {
    const { output, code } = await this.#serial.run(command);
    assert.equal(code, 0, `${command}: ${output}`);
    return output.trim();
  }

  [Symbol.dispose](): void {
    this.#serial.close();
  }
}
