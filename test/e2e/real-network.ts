/** What the end-to-end tests of networks ask of a cloud and of its guests. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { readForwards } from '#services/compute/network/forward-table.ts';
import type { Client } from '../client.ts';
import type { TestCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { guestImage, RealServer, realCloud } from './real-server.ts';

export interface RealPort {
  readonly id: string;
  readonly mac: string;
  /** Its first. */
  readonly address: string;
}

export interface Reached {
  readonly host: string;
  readonly port: number;
  /** By what is led in, since the machine has no way to the address itself. */
  readonly isForwarded: boolean;
}

export class RealNetwork implements AsyncDisposable {
  readonly cloud: TestCloud;
  readonly demo: Client;
  readonly image: string;

  private constructor(cloud: TestCloud, demo: Client, image: string) {
    this.cloud = cloud;
    this.demo = demo;
    this.image = image;
  }

  /** A cloud whose guests have the networks that this machine and this user can have. */
  static async open(): Promise<RealNetwork> {
    const cloud = await realCloud({ network: 'auto' });
    assert.equal(await kindOf(cloud), process.geteuid?.() === 0 ? 'rooted' : 'rootless');
    return new RealNetwork(cloud, await cloud.as('demo'), await guestImage(cloud));
  }

  launch(name: string, more: object = {}): Promise<RealServer> {
    return RealServer.launch(this.cloud, this.image, { name, ...more });
  }

  /** Makes something of the network service; answers its id. */
  async make(kind: string, json: object, path = `${kind}s`): Promise<string> {
    const body = await this.demo.ok<Record<string, { id: string }>>('POST', `/network/v2.0/${path}`, {
      json: { [kind]: json },
    });
    return body[kind]?.id ?? '';
  }

  /** Changes something of it. */
  async set(kind: string, id: string, json: object, path = `${kind}s`): Promise<void> {
    await this.demo.ok('PUT', `/network/v2.0/${path}/${id}`, { json: { [kind]: json } });
  }

  /** The first that a list has: `networks?name=private`. */
  async idOf(path: string): Promise<string> {
    const body = await this.demo.ok<Record<string, { id: string }[]>>('GET', `/network/v2.0/${path}`);
    return Object.values(body)[0]?.[0]?.id ?? '';
  }

  async portOf({ id }: RealServer): Promise<RealPort> {
    const { ports } = await this.demo.ok<{
      ports: { id: string; mac_address: string; fixed_ips: { ip_address: string }[] }[];
    }>('GET', `/network/v2.0/ports?device_id=${id}`);
    const [port] = ports;
    assert.ok(port);
    return { id: port.id, mac: port.mac_address, address: port.fixed_ips[0]?.ip_address ?? '' };
  }

  /** Where the machine reaches a port of a floating IP. */
  reachedAt(address: string, port: number): Promise<Reached> {
    return eventually(`a way to ${address}:${port}`, async () => {
      if ((await kindOf(this.cloud)) === 'rooted') return { host: address, port, isForwarded: false };
      const forwards = await readForwards(join(this.cloud.data, 'network'));
      const found = forwards.find((each) => each.address === address && each.port === port);
      return found && { host: '127.0.0.1', port: found.hostPort, isForwarded: true };
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cloud[Symbol.asyncDispose]();
  }
}

/** Whether a guest hears an answer from there. */
export async function reaches(from: RealServer, address: string): Promise<boolean> {
  return (await from.run(`ping -c 1 -W 1 ${address} > /dev/null 2>&1; echo $?`)) === '0';
}

async function kindOf({ db }: TestCloud): Promise<string> {
  return (await db.queries.selectFrom('hosts').select('network_kind').executeTakeFirstOrThrow()).network_kind;
}
