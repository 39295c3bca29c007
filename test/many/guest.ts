/** A server with a real guest on one of several hosts, and a shell in it, wherever it is. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { openSerial } from '../../src/cli/serial-console.ts';
import type { User } from '../client.ts';
import { PASSWORD } from '../e2e/real-server.ts';
import { eventually } from '../eventually.ts';
import { TestServer } from '../server.ts';
import type { CloudOfProcesses } from './cloud-of-processes.ts';

export interface GuestWish {
  readonly name: string;
  readonly imageRef: string;
  /** Servers on whose hosts it shall not be. */
  readonly apartFrom?: readonly Guest[];
  readonly [more: string]: unknown;
}

export class Guest {
  readonly id: string;
  readonly name: string;
  readonly server: TestServer;
  readonly #cloud: CloudOfProcesses;

  private constructor(cloud: CloudOfProcesses, server: TestServer, name: string) {
    this.id = server.id;
    this.name = name;
    this.server = server;
    this.#cloud = cloud;
  }

  /** Resolves when it is ACTIVE. */
  static async launch(cloud: CloudOfProcesses, { apartFrom = [], ...more }: GuestWish): Promise<Guest> {
    const server = { flavorRef: '42', networks: 'auto', adminPass: PASSWORD, ...more };
    const hints = apartFrom.length > 0 && { 'os:scheduler_hints': { different_host: apartFrom.map(({ id }) => id) } };
    const answer = await (await cloud.as('demo')).request<{ server: { id: string } }>('POST', '/compute/v2.1/servers', {
      json: { server, ...hints },
    });
    assert.equal(answer.status, 202, JSON.stringify(answer.body));
    const launched = new TestServer(cloud, 'demo', answer.body.server.id, answer.requestId);
    await launched.is('ACTIVE');
    return new Guest(cloud, launched, more.name);
  }

  async host(): Promise<string> {
    const { queries } = this.#cloud.db;
    const row = await queries.selectFrom('servers').select('host').where('id', '=', this.id).executeTakeFirst();
    return row?.host ?? '';
  }

  /** Id and address of its port. */
  async port(): Promise<{ readonly id: string; readonly address: string }> {
    const demo = await this.#cloud.as('demo');
    const path = `/network/v2.0/ports?device_id=${this.id}`;
    const { ports } = await demo.ok<{ ports: { id: string; fixed_ips: { ip_address: string }[] }[] }>('GET', path);
    const [port] = ports;
    assert.ok(port, `${this.name} has a port`);
    return { id: port.id, address: port.fixed_ips[0]?.ip_address ?? '' };
  }

  /** Runs a command in it, once it has booted; answers what it printed. */
  async run(command: string): Promise<string> {
    using serial = await openSerial(join(this.#cloud.homeOf(await this.host()), 'instances', this.id, 'serial.sock'));
    await serial.login(PASSWORD);
    const { output, code } = await serial.run(command);
    assert.equal(code, 0, `${command}: ${output}`);
    return output.trim();
  }

  async reaches(address: string): Promise<boolean> {
    return (await this.run(`ping -c 1 -W 1 ${address} > /dev/null 2>&1; echo $?`)) === '0';
  }

  /** Asks for an action and waits until the server has that status with nothing going on. */
  async act(action: string, argument: unknown, status: string, as: User = 'demo'): Promise<void> {
    const requestId = await this.server.act(action, argument, as);
    await eventually(
      `the end of ${action}`,
      async () => (await this.server.show())?.['OS-EXT-STS:task_state'] === null,
      { withinMs: 60_000, state: () => this.server.show() },
    );
    const { message } = await this.server.action(requestId);
    assert.equal(message, null, `${action} of ${this.name}`);
    assert.equal((await this.server.show())?.status, status);
  }
}
