/** The files of a config drive, from a server's row to what crosses to the compute agent. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { apiHarness } from '../api-harness.ts';
import { guestParts } from './config-drive.ts';

const USER_DATA = 'openstack/latest/user_data';

test('user data that is no text arrives bit for bit; without any there is no file, and no drive where none is wanted', async () => {
  await using api = await apiHarness();
  const partsOf = async (columns: object) => {
    const { queries } = api.db;
    const row = queries
      .selectFrom('servers')
      .selectAll()
      .where('id', '=', await api.add(columns));
    return guestParts(queries, await row.executeTakeFirstOrThrow());
  };
  const script = gzipSync('#!/bin/sh\necho hello\n');
  const { configDrive } = await partsOf({ config_drive: 1, user_data: script.toString('base64') });
  // As the agent gets it: through JSON.
  const { base64 } = JSON.parse(JSON.stringify(configDrive?.[USER_DATA]));
  assert.deepEqual(Buffer.from(base64, 'base64'), script);
  const without = await partsOf({ config_drive: 1, user_data: null });
  assert.ok(without.configDrive && !(USER_DATA in without.configDrive));
  const none = await partsOf({ config_drive: 0, user_data: 'AA==' });
  assert.equal(none.configDrive, null);
  assert.ok(USER_DATA in none.drive);
});

test('a guest has the cards it was made with and those of its ports, and reads about them', async () => {
  await using api = await apiHarness();
  const id = await api.add({ nics: JSON.stringify([{ mac: 'fa:16:3e:00:00:01' }]) });
  const mac = await api.join(id, await api.addNetwork('private'));
  const { queries } = api.db;
  const row = await queries.selectFrom('servers').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  const { nics, drive } = await guestParts(queries, row);
  const port = await queries.selectFrom('ports').select('id').where('device_id', '=', id).executeTakeFirstOrThrow();
  assert.deepEqual(nics, [{ mac: 'fa:16:3e:00:00:01' }, { mac, portId: port.id, mtu: 1450 }]);
  const { links } = JSON.parse(String(drive['openstack/latest/network_data.json']));
  assert.deepEqual(
    links.map((link: { ethernet_mac_address: string }) => link.ethernet_mac_address),
    nics.map((nic) => nic.mac),
  );
});
