/** What the demo does with servers, through the API and the serial console. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { CommandError } from '../command-error.ts';
import type { OpenStack } from '../openstack.ts';
import { ProgressBar } from '../progress-bar.ts';
import { openSerial, type SerialConsole } from '../serial-console.ts';

export interface Guest {
  readonly id: string;
  readonly password: string;
  readonly requestId: string;
  /** From the request to ACTIVE. */
  readonly seconds: number;
}

/** m1.micro: 256 MiB, one virtual CPU, a disk of 1 GiB. */
const FLAVOR = '84';
const PATIENCE_MS = 180_000;
const POLL_MS = 50;

interface ServerBody {
  readonly server: { readonly id: string; readonly status: string; readonly fault?: { readonly message: string } };
}

export async function createServer(
  cloud: OpenStack,
  wanted: { readonly name: string; readonly imageId: string },
): Promise<Guest> {
  const password = randomBytes(9).toString('base64url');
  const begun = performance.now();
  const { body, requestId } = await cloud.request<ServerBody>('POST', '/compute/v2.1/servers', {
    json: {
      server: { name: wanted.name, imageRef: wanted.imageId, flavorRef: FLAVOR, adminPass: password, networks: 'auto' },
    },
  });
  await until(async () => {
    const { server } = (await cloud.request<ServerBody>('GET', `/compute/v2.1/servers/${body.server.id}`)).body;
    if (server.status === 'ERROR')
      throw new CommandError(`server ${wanted.name} is in ERROR: ${server.fault?.message}`);
    return server.status === 'ACTIVE';
  }, `server ${wanted.name} to be ACTIVE`);
  return { id: body.server.id, password, requestId, seconds: (performance.now() - begun) / 1000 };
}

export async function loggedIn(dataDir: string, guest: Guest): Promise<SerialConsole> {
  const serial = await openSerial(join(dataDir, 'instances', guest.id, 'serial.sock'));
  await serial.login(guest.password);
  return serial;
}

interface ActionBody {
  readonly instanceAction: {
    readonly message: string | null;
    readonly events: readonly { readonly event: string; readonly details: string | null }[];
  };
}

/** Snapshots a server with a progress bar; `meanwhile` runs once the copy has begun. */
export async function snapshotServer(cloud: OpenStack, serverId: string, name: string, meanwhile: () => Promise<void>) {
  const begun = performance.now();
  const { body, requestId } = await cloud.request<{ image_id: string }>(
    'POST',
    `/compute/v2.1/servers/${serverId}/action`,
    {
      json: { createImage: { name } },
    },
  );
  const imageId = body.image_id;
  const bar = new ProgressBar('copying the disk');
  let writing: Promise<void> | undefined;
  await until(async () => {
    const { instanceAction } = (
      await cloud.request<ActionBody>('GET', `/compute/v2.1/servers/${serverId}/os-instance-actions/${requestId}`)
    ).body;
    if (instanceAction.message !== null) throw new CommandError(`the snapshot failed: ${instanceAction.message}`);
    const copying = instanceAction.events.find(({ event }) => event === 'conductor_copyDisk');
    const [, done, total] = /^(\d+) of (\d+)/.exec(copying?.details ?? '') ?? [];
    if (total !== undefined) bar.show(Number(done), Number(total));
    if (total !== undefined || instanceAction.events.length > 2) writing ??= meanwhile();
    const { status } = (await cloud.request<{ status: string }>('GET', `/image/v2/images/${imageId}`)).body;
    return status === 'active';
  }, 'the image to be active');
  const seconds = (performance.now() - begun) / 1000;
  const { size } = (await cloud.request<{ size: number }>('GET', `/image/v2/images/${imageId}`)).body;
  bar.show(size, size);
  bar.end();
  await (writing ?? meanwhile());
  return { imageId, requestId, seconds };
}

export async function deleteServer(cloud: OpenStack, id: string): Promise<void> {
  await cloud.request('DELETE', `/compute/v2.1/servers/${id}`);
  await until(async () => {
    const { body } = await cloud.request<{ servers: { id: string }[] }>('GET', '/compute/v2.1/servers');
    return !body.servers.some((server) => server.id === id);
  }, `server ${id} to be gone`);
}

async function until(isDone: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isDone())) {
    if (Date.now() > deadline) throw new CommandError(`waited ${PATIENCE_MS / 1000} s for ${what}`);
    await delay(POLL_MS);
  }
}

interface Shown {
  readonly status: string;
  readonly fault?: { readonly message: string };
  readonly 'OS-EXT-STS:task_state': string | null;
  readonly 'OS-EXT-SRV-ATTR:host': string | null;
}

async function show(cloud: OpenStack, id: string): Promise<Shown> {
  return (await cloud.request<{ server: Shown }>('GET', `/compute/v2.1/servers/${id}`)).body.server;
}

/** Asks for an action and waits until the server has that status with nothing going on. Throws `CommandError` when it fails. */
export async function act(cloud: OpenStack, id: string, action: object, status: string): Promise<void> {
  const path = `/compute/v2.1/servers/${id}`;
  const { requestId } = await cloud.request('POST', `${path}/action`, { json: action });
  await until(
    async () => {
      const server = await show(cloud, id);
      return server['OS-EXT-STS:task_state'] === null;
    },
    `the end of ${Object.keys(action)}`,
  );
  const { instanceAction } = (await cloud.request<ActionBody>('GET', `${path}/os-instance-actions/${requestId}`)).body;
  if (instanceAction.message !== null) throw new CommandError(`${Object.keys(action)}: ${instanceAction.message}`);
  const server = await show(cloud, id);
  if (server.status !== status) throw new CommandError(`${Object.keys(action)} ended in ${server.status}`);
}

/** Where a server is; only an administrator sees it. */
export async function hostOf(admin: OpenStack, id: string): Promise<string | null> {
  return (await show(admin, id))['OS-EXT-SRV-ATTR:host'];
}
