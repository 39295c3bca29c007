/** A whole cloud over RabbitMQ, also while the broker restarts. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadConfig } from '#config/config.ts';
import { Broker } from '#local/rabbitmq.ts';
import { startCloud } from '../../src/main.ts';
import { testCloud } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { Look } from './open.ts';

const broker = await Broker.start();
after(() => broker[Symbol.asyncDispose]());

describe('a cloud over RabbitMQ', { timeout: 120_000 }, () => {
  test('launches, snapshots and deletes a server', async () => {
    const url = await broker.vhost();
    await using cloud = await testCloud({ driver: 'fake', config: { bus: url } });
    const server = await cloud.server().active();
    await using look = await Look.into(url);
    assert.equal(await look.waiting('scheduler'), 0, 'it did go through the broker');
    const client = await cloud.as('demo');
    const { imageId } = await server.snapshot();
    await eventually('the snapshot is active', async () => {
      const image = await client.ok<{ status: string }>('GET', `/image/v2/images/${imageId}`);
      return image.status === 'active';
    });
    await server.delete();
    await server.isGone();
  });

  test('whose broker restarts while a launch hangs ends the launch well, and launches others', async () => {
    await using cloud = await testCloud({ driver: 'fake', config: { bus: await broker.vhost() } });
    cloud.driver.setFault('*', { blockAt: ['create'] });
    const server = await cloud.server().accepted();
    await eventually('the launch hangs', async () => cloud.driver.isHanging(server.id, 'create'));
    await broker.stop();
    await broker.start();
    cloud.driver.setFault('*', null);
    await server.is('ACTIVE');
    await cloud.server({ name: 'another' }).active();
  });

  test('that is told to stop while it waits for its broker does, and leaves its folder free', async () => {
    const data = await mkdtemp(join(tmpdir(), 'micronova-waiting-'));
    try {
      const wanted = { data, driver: 'fake', listen: '127.0.0.1:0', log_level: 'silent', bus: 'amqp://127.0.0.1:1' };
      const stop = new AbortController();
      const starting = startCloud(loadConfig({ flags: wanted }), {}, stop.signal);
      stop.abort(new Error('stopped'));
      await assert.rejects(starting, /stopped/);
      const cloud = await startCloud(loadConfig({ flags: { ...wanted, bus: '' } }));
      await cloud.close({ stopGuests: true });
    } finally {
      await rm(data, { recursive: true, force: true });
    }
  });
});
