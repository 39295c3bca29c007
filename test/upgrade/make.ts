/**
 * Makes what `upgrade.test.ts` upgrades: the data folder that a release leaves behind when its machine loses power in the middle of its
 * work. Run when a version is released:
 *
 *   node test/upgrade/make.ts FOLDER-OF-THE-RELEASED-SOURCES
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Client } from '../client.ts';
import { emptyDisk, guestProcesses } from '../cloud.ts';
import { eventually } from '../eventually.ts';

const SERVERS = '/compute/v2.1/servers';
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1Zl4JhY5WcFvZ0w8o0H1nZ5s5B0B8kZ0k1y0c5m0aA someone';

const [tree = ''] = process.argv.slice(2);
const { version } = JSON.parse(readFileSync(join(tree, 'package.json'), 'utf8'));
const home = mkdtempSync(join(tmpdir(), 'micronova-release-'));
try {
  await leave(join(home, 'data'));
  const target = join(import.meta.dirname, `${version}.tar.gz`);
  execFileSync('tar', ['--sort=name', '--sparse', '-czf', target, '-C', home, 'data']);
  process.stdout.write(`${target}\n`);
} finally {
  rmSync(home, { recursive: true });
}

/** A cloud with a server, an image made of it, a server that was deleted, and one whose launch was accepted a moment ago. */
async function leave(data: string): Promise<void> {
  const args = ['up', '--data', data, '--listen', '127.0.0.1:0'];
  const child = spawn(resolve(tree, 'bin/micronova'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [line] = await once(createInterface(child.stdout), 'line');
  const url = String(line).split(' ')[1] ?? '';
  const demo = await Client.login(url, data, 'demo');
  const image = await demo.ok<{ id: string }>('POST', '/image/v2/images', {
    json: { name: 'empty', disk_format: 'qcow2', container_format: 'bare' },
  });
  await demo.ok('PUT', `/image/v2/images/${image.id}/file`, { bytes: await emptyDisk(home) });
  await demo.ok('POST', '/compute/v2.1/os-keypairs', { json: { keypair: { name: 'mine', public_key: KEY } } });
  const launch = async (name: string) => {
    const server = {
      name,
      imageRef: image.id,
      flavorRef: '42',
      networks: 'auto',
      key_name: 'mine',
      metadata: { a: 'b' },
    };
    return (await demo.ok<{ server: { id: string } }>('POST', SERVERS, { json: { server } })).server.id;
  };
  const is = (id: string, status: string) =>
    eventually(`${id} ${status}`, async () => {
      const { body } = await demo.request<{ server?: { status: string; 'OS-EXT-STS:task_state': string | null } }>(
        'GET',
        `${SERVERS}/${id}`,
      );
      return (body.server?.status ?? 'gone') === status && (body.server?.['OS-EXT-STS:task_state'] ?? null) === null;
    });
  const web = await launch('web');
  await is(web, 'ACTIVE');
  const snapshot = await demo.ok<{ image_id: string }>('POST', `${SERVERS}/${web}/action`, {
    json: { createImage: { name: 'snap' } },
  });
  await eventually('the snapshot', async () => {
    const { status } = await demo.ok<{ status: string }>('GET', `/image/v2/images/${snapshot.image_id}`);
    return status === 'active';
  });
  await is(web, 'ACTIVE');
  const gone = await launch('gone');
  await is(gone, 'ACTIVE');
  await demo.ok('DELETE', `${SERVERS}/${gone}`);
  await is(gone, 'gone');
  await launch('young');
  child.kill('SIGKILL');
  await exited;
  for (const pid of guestProcesses(data)) process.kill(pid, 'SIGKILL');
  for (const name of ['logs', 'lock.sqlite', 'lock.sqlite-journal'])
    rmSync(join(data, name), { recursive: true, force: true });
}
