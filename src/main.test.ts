/** Starting the cloud where something is in the way, or at an address of its own. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '#config/config.ts';
import { fakeDriver } from '#services/compute/driver/fake/fake-driver.ts';
import { Client } from '../test/client.ts';
import { testCloud } from '../test/cloud.ts';
import { eventually } from '../test/eventually.ts';
import { startCloud } from './main.ts';

test('a cloud that listens on another address than 127.0.0.1 launches servers', async () => {
  await using cloud = await testCloud({ driver: 'fake', config: { listen: '127.0.0.2:0' } });
  await cloud.server().active();
});

test('a cloud that is stopped while its hypervisor hangs keeps no timer, and goes on with the work at its next start', async () => {
  await using cloud = await testCloud({ driver: 'fake' });
  cloud.driver.setFault('*', { blockAt: ['create'] });
  const server = await cloud.server().accepted();
  await eventually('the launch hangs', async () => cloud.driver.isHanging(server.id, 'create'));
  await cloud.restart();
  await server.is('ACTIVE');
});

test('a cloud that is stopped takes nothing back because its own image service has gone first', async () => {
  const immediately = { conductor: { backOff: () => Promise.resolve() } };
  await using cloud = await testCloud({ driver: 'fake', overrides: { ...immediately, farewellMs: 20_000 } });
  const server = await cloud.server().active();
  cloud.driver.setFault(server.id, { blockAt: ['backupDisk'] });
  const requestId = await server.act('createImage', { name: 'kept' });
  await eventually('the copy hangs', async () => cloud.driver.isHanging(server.id, 'backupDisk'));
  // A request in hand keeps the end waiting.
  const demo = await cloud.as('demo');
  const record = { name: 'slow', disk_format: 'raw', container_format: 'bare' };
  const { id } = await demo.ok<{ id: string }>('POST', '/image/v2/images', { json: record });
  const bytes = new PassThrough();
  const upload = fetch(`${cloud.url}/image/v2/images/${id}/file`, {
    method: 'PUT',
    headers: { ...demo.headers(), 'content-type': 'application/octet-stream' },
    body: bytes,
    duplex: 'half',
  });
  bytes.write(Buffer.alloc(512));
  const isSaving = async () => (await demo.ok<{ status: string }>('GET', `/image/v2/images/${id}`)).status === 'saving';
  await eventually('the upload has begun', isSaving);
  const stopped = cloud.stop();
  await eventually('nobody is let in', () =>
    fetch(cloud.url).then(
      () => false,
      () => true,
    ),
  );
  cloud.driver.setFault(server.id, null);
  bytes.end(Buffer.alloc(512));
  assert.equal((await upload).status, 204);
  await stopped;
  await cloud.start();
  assert.equal((await cloud.rested(requestId)).state, 'done');
});

test('a start that fails in its middle leaves nothing that runs', async () => {
  const data = await mkdtemp(join(tmpdir(), 'micronova-start-'));
  const listening = () => process.getActiveResourcesInfo().filter((kind) => kind === 'TCPServerWrap').length;
  const before = listening();
  const config = loadConfig({ flags: { data, driver: 'fake', listen: '127.0.0.1:0', log_level: 'silent' } });
  // The API listens by then.
  let closed = 0;
  const driver = (made: { readonly instancesDir: string }) => {
    const broken = fakeDriver(made);
    broken.inventory = () => Promise.reject(new Error('no such machine'));
    const close = broken.close.bind(broken);
    broken.close = async (options) => {
      closed += 1;
      await close(options);
    };
    return broken;
  };
  await assert.rejects(startCloud(config, { driver }), /no such machine/);
  assert.equal(closed, 1);
  await eventually('nobody listens any more', async () => listening() <= before);
  const cloud = await startCloud(config);
  await cloud.close({ stopGuests: true });
  await rm(data, { recursive: true });
});

test('a first start whose port is taken loses nobody’s password', async () => {
  const data = await mkdtemp(join(tmpdir(), 'micronova-start-'));
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  try {
    const { port } = taken.address() as AddressInfo;
    const micronova = new URL('../bin/micronova', import.meta.url).pathname;
    const words = ['up', '--driver', 'fake', '--data', data, '--listen', `127.0.0.1:${port}`];
    await assert.rejects(promisify(execFile)(micronova, words, { timeout: 60_000 }), /EADDRINUSE/);
    const config = loadConfig({ flags: { data, driver: 'fake', listen: '127.0.0.1:0', log_level: 'silent' } });
    const cloud = await startCloud(config);
    try {
      await Client.login(cloud.url, data, 'admin');
      await Client.login(cloud.url, data, 'demo');
    } finally {
      await cloud.close({ stopGuests: true });
    }
  } finally {
    taken.close();
    await rm(data, { recursive: true, force: true });
  }
});
