/**
 * A restart in turn loses nothing: two api behind a balancer that asks `/readyz`, each told to end and started again under load.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { answers } from '#local/answers.ts';
import { emptyDisk } from '../cloud.ts';
import { eventually } from '../eventually.ts';
import { Balancer } from './balancer.ts';
import { CloudOfProcesses } from './cloud-of-processes.ts';

const WORKERS = 6;
const DRAIN_SECONDS = 1;

describe('two api behind a balancer', { timeout: 180_000 }, () => {
  let cloud: CloudOfProcesses;
  let balancer: Balancer;
  const urls = new Map<string, string>();

  const start = async (name: string) => {
    const url = await cloud.member(name).start();
    urls.set(name, url);
    balancer.backend(name, { url, health: cloud.member(name).health });
    await eventually(`${name} is sent requests`, async () => balancer.isReady(name));
  };

  before(async () => {
    cloud = await CloudOfProcesses.create();
    balancer = await Balancer.start();
    const settings = { health_listen: '127.0.0.1:0', drain_seconds: DRAIN_SECONDS };
    for (const name of ['api-1', 'api-2']) {
      const member = await cloud.add(name, 'api', settings);
      urls.set(name, member.ready);
      balancer.backend(name, { url: member.ready, health: member.health });
      await eventually(`${name} is sent requests`, async () => balancer.isReady(name));
    }
    await cloud.add('control', 'conductor,scheduler', { health_listen: '127.0.0.1:0' });
  });
  after(async () => {
    await balancer[Symbol.asyncDispose]();
    await cloud[Symbol.asyncDispose]();
  });

  test('no request fails while each is restarted in turn', async (t) => {
    const demo = (await cloud.as('demo')).at(balancer.url);
    const failures: string[] = [];
    let answered = 0;
    let isOver = false;
    const ask = async (method: string, path: string, wanted: number, json?: object) => {
      const answer = await demo.request(method, path, json ? { json } : {}).catch((error: Error) => error);
      answered += 1;
      if (answer instanceof Error) failures.push(`${method} ${path}: ${answer.message}`);
      else if (answer.status !== wanted)
        failures.push(`${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    };
    const work = async (worker: number) => {
      for (let round = 0; !isOver; round++) {
        const name = `key-${worker}-${round}`;
        await ask('POST', '/compute/v2.1/os-keypairs', 201, { keypair: { name, public_key: PUBLIC_KEY } });
        await ask('GET', '/compute/v2.1/servers/detail', 200);
        await ask('GET', '/image/v2/images', 200);
        await ask('DELETE', `/compute/v2.1/os-keypairs/${name}`, 204);
      }
    };
    const load = Array.from({ length: WORKERS }, (_, worker) => work(worker));
    for (const name of ['api-1', 'api-2']) {
      await eventually(`${name} answers some`, async () => balancer.served(name) > 50);
      await cloud.member(name).kill('SIGTERM');
      await start(name);
      await eventually(`${name} answers some again`, async () => balancer.served(name) > 50);
    }
    isOver = true;
    await Promise.all(load);
    t.diagnostic(`${answered} requests answered`);
    assert.deepEqual(failures, []);
    assert.ok(answered > 200, `${answered} requests only`);
  });

  test('a request in hand is answered after nothing new is accepted', async () => {
    const demo = await cloud.as('demo');
    const url = urls.get('api-1') ?? '';
    const own = demo.at(url);
    const wanted = { name: 'slow', disk_format: 'qcow2', container_format: 'bare' };
    const { id } = await own.ok<{ id: string }>('POST', '/image/v2/images', { json: wanted });
    const disk = await emptyDisk(cloud.dir);
    const upload = request(`${url}/image/v2/images/${id}/file`, {
      method: 'PUT',
      headers: { ...own.headers(), 'content-type': 'application/octet-stream' },
    });
    const answered = once(upload, 'response');
    upload.write(disk.subarray(0, 1000));
    await eventually('the upload has begun', async () => {
      const { status } = await own.ok<{ status: string }>('GET', `/image/v2/images/${id}`);
      return status === 'saving';
    });
    const member = cloud.member('api-1');
    const ended = member.kill('SIGTERM');
    const drained = await eventually('it is not ready', async () => {
      const answer = await fetch(`${member.health}/readyz`);
      const verdict = (await answer.json()) as { parts: { part: string; ready: boolean; hint?: string }[] };
      return answer.status === 503 && verdict;
    });
    assert.deepEqual(
      drained.parts.filter(({ ready }) => !ready).map(({ part }) => part),
      ['drain'],
    );
    // Until the balancer has seen it, requests are answered as ever, and told to come on another connection.
    const late = await own.request('GET', '/compute/v2.1/servers');
    assert.deepEqual([late.status, late.headers.get('connection')], [200, 'close']);
    const check = await fetch(`${url}/healthcheck`);
    assert.deepEqual([check.status, await check.text()], [503, 'NOT READY: drain']);
    await eventually('nothing new is accepted', async () => !(await answers(Number(new URL(url).port))));
    assert.ok(member.isAlive);
    upload.end(disk.subarray(1000));
    const [answer] = await answered;
    assert.equal(answer.statusCode, 204);
    answer.resume();
    await ended;
    await start('api-1');
    await (await cloud.as('demo')).at(urls.get('api-1') ?? '').ok('DELETE', `/image/v2/images/${id}`);
  });
});

const PUBLIC_KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2bPCUVJ2mdG0fZgwBqaEPOMkDmlXGAfuOBL1l5w5Gx test';
