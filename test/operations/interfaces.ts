/** Servers that get a network card more, and one less. */
import assert from 'node:assert/strict';
import type { TestCloud } from '../cloud.ts';
import { demoNetwork } from '../networks.ts';
import type { TestServer } from '../server.ts';
import type { Fixture } from './fixture.ts';
import type { Start } from './starts.ts';

/** An extra network, on which the servers of these tests are not. */
const extraNetwork = (cloud: TestCloud) => demoNetwork(cloud.db, 'extra', '10.77.0.0/24');
const interfacesOf = ({ id }: TestServer) => `/compute/v2.1/servers/${id}/os-interface`;

/** Joins it to one network more. */
export function attaching(start: Start): Fixture {
  return {
    async prepare(cloud) {
      const server = await start(cloud);
      const json = { interfaceAttachment: { net_id: await extraNetwork(cloud) } };
      const client = await cloud.as('demo');
      return {
        server,
        begin: async () => {
          // It answers when the guest has the card.
          client.request('POST', interfacesOf(server), { json }).catch(() => undefined);
          return server;
        },
        done: (before, after) => {
          assert.equal(after.ports.length, before.ports.length + 1);
          assert.deepEqual(after.macs, after.ports);
          return { ...before, ports: after.ports, macs: after.macs };
        },
      };
    },
  };
}

/** Takes it from a network that it was joined to. */
export function detaching(start: Start): Fixture {
  return {
    async prepare(cloud) {
      const server = await start(cloud);
      const json = { interfaceAttachment: { net_id: await extraNetwork(cloud) } };
      const client = await cloud.as('demo');
      const { interfaceAttachment: port } = await client.ok<{
        interfaceAttachment: { port_id: string; mac_addr: string };
      }>('POST', interfacesOf(server), { json });
      const without = (macs: readonly string[]) => macs.filter((mac) => mac !== port.mac_addr);
      return {
        server,
        begin: async () => {
          await client.ok('DELETE', `${interfacesOf(server)}/${port.port_id}`);
          return server;
        },
        done: (before) => ({ ...before, ports: without(before.ports), macs: without(before.macs) }),
      };
    },
  };
}
