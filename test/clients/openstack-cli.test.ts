/**
 * The tutorial's way with the unchanged `openstack` command on real guests: image, key, server, snapshot, and all of it
 * gone again.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { guestImagePath } from '../../src/cli/demo/guest-image.ts';
import { type TestCloud, testCloud } from '../cloud.ts';
import { needClients, Programs } from './programs.ts';

const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILWOUYtmDCyAZlhJVnJvIKS8QjjzH5uPbyhK/mp3d3nN me@example';

test('the openstack command does what the tutorial says', { timeout: 120_000 }, async (t) => {
  needClients();
  await using cloud = await testCloud({ driver: 'qemu' });
  const programs = new Programs(cloud.data, 'micronova');
  await t.test('token issue', async () => {
    const token = await programs.json('token', 'issue');
    assert.match(token.project_id, /^[0-9a-f]{32}$/);
    assert.match(token.id, /^gAAAA/);
  });
  await t.test('images', () => images(programs, cloud));
  await t.test('flavors and key pairs', () => keypairs(programs, cloud));
  await t.test('a server and its snapshot', () => servers(programs, cloud));
  await t.test('what was made is gone', () => cleanUp(programs));
});

async function images(programs: Programs, cloud: TestCloud): Promise<void> {
  const file = guestImagePath();
  const options = ['--disk-format', 'qcow2', '--container-format', 'bare', '--property', 'os_distro=tinyguest'];
  const created = await programs.json('image', 'create', '--file', file, ...options, 'guest');
  const saved = join(cloud.data, 'saved.qcow2');
  const [list, shown] = await Promise.all([
    programs.json('image', 'list'),
    programs.json('image', 'show', 'guest'),
    programs.openstack('image', 'save', '--file', saved, 'guest'),
  ]);
  assert.deepEqual(list, [{ ID: created.id, Name: 'guest', Status: 'active' }]);
  // The answer to `create` is of before the upload, with this client on any cloud.
  assert.equal(shown.status, 'active');
  assert.equal(shown.size, readFileSync(file).length);
  assert.equal(shown.properties.os_distro, 'tinyguest');
  assert.ok(readFileSync(saved).equals(readFileSync(file)), 'the same bytes came back');
}

async function keypairs(programs: Programs, cloud: TestCloud): Promise<void> {
  const keyFile = join(cloud.data, 'key.pub');
  writeFileSync(keyFile, `${PUBLIC_KEY}\n`);
  const [flavors, generated, own] = await Promise.all([
    programs.json('flavor', 'list'),
    programs.openstack('keypair', 'create', 'generated'),
    programs.json('keypair', 'create', '--public-key', keyFile, 'own'),
  ]);
  assert.ok(flavors.some((flavor: { Name: string; RAM: number }) => flavor.Name === 'm1.nano' && flavor.RAM === 128));
  assert.match(generated, /^-----BEGIN RSA PRIVATE KEY-----/);
  assert.equal(own.fingerprint.length, 47);
  const names = (await programs.json('keypair', 'list')).map((each: { Name: string }) => each.Name);
  assert.deepEqual(names.toSorted(), ['generated', 'own']);
}

async function servers(programs: Programs, cloud: TestCloud): Promise<void> {
  const userData = join(cloud.data, 'user-data');
  writeFileSync(userData, '#!/bin/sh\necho "user-data was here"\n');
  const wanted = ['--image', 'guest', '--flavor', 'm1.nano', '--key-name', 'own', '--user-data', userData];
  const created = await programs.json('server', 'create', '--wait', ...wanted, 'web');
  assert.equal(created.status, 'ACTIVE');
  const [list, shown, log, events] = await Promise.all([
    programs.json('server', 'list'),
    programs.json('server', 'show', 'web'),
    consoleWith(programs, 'web', 'user-data was here', 'READY host=web'),
    programs.json('server', 'event', 'list', 'web'),
  ]);
  assert.deepEqual(
    list.map((each: { Name: string; Status: string; Image: string }) => [each.Name, each.Status, each.Image]),
    [['web', 'ACTIVE', 'guest']],
  );
  assert.equal(shown.key_name, 'own');
  assert.equal(shown['OS-EXT-STS:task_state'], null);
  assert.match(log, /READY host=web ip=10\.0\.\d+\.\d+\/20 source=configdrive/);
  assert.deepEqual(
    events.map((each: { Action: string }) => each.Action),
    ['create'],
  );
  const event = await programs.json('server', 'event', 'show', created.id, events[0]['Request ID']);
  assert.equal(event.action, 'create');

  const snapshot = await programs.json('server', 'image', 'create', '--wait', '--name', 'snapshot', 'web');
  assert.equal(snapshot.status, 'active');
  assert.equal(snapshot.properties.instance_uuid, created.id);
  await programs.openstack('server', 'delete', '--wait', 'web');
}

/** The console's text once it has all of `wanted`. */
async function consoleWith(programs: Programs, server: string, ...wanted: string[]): Promise<string> {
  for (let tries = 0; tries < 20; tries++) {
    const text = await programs.openstack('console', 'log', 'show', server);
    if (wanted.every((each) => text.includes(each))) return text;
  }
  throw new Error(`the console never shows ${wanted}`);
}

async function cleanUp(programs: Programs): Promise<void> {
  await Promise.all([
    programs.openstack('image', 'delete', 'guest', 'snapshot'),
    programs.openstack('keypair', 'delete', 'own', 'generated'),
  ]);
  const [servers, images, keys, missing] = await Promise.all([
    programs.json('server', 'list'),
    programs.json('image', 'list'),
    programs.json('keypair', 'list'),
    programs.refused('server', 'show', 'web'),
  ]);
  assert.deepEqual([servers, images, keys], [[], [], []]);
  assert.match(missing, /No server with a name or ID of 'web' exists|No Server found for web/i);
}
