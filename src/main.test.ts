/** Starting the cloud where something is in the way, or at an address of its own. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { loadConfig } from '#config/config.ts';
import { Client } from '../test/client.ts';
import { testCloud } from '../test/cloud.ts';
import { startCloud } from './main.ts';

test('a cloud that listens on another address than 127.0.0.1 launches servers', async () => {
  await using cloud = await testCloud({ driver: 'fake', config: { listen: '127.0.0.2:0' } });
  await cloud.server().active();
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
