/** A cloud behind HTTPS with certificates of `micronova cert`: its clients, its own command line, and itself believe its authority. */
import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';

const MICRONOVA = new URL('../../bin/micronova', import.meta.url).pathname;
const dir = mkdtempSync(join(tmpdir(), 'micronova-tls-'));
const folder = join(dir, 'tls');
const run = promisify(execFile);
const cert = (name: string, ...words: readonly string[]) =>
  run(MICRONOVA, ['cert', name, '--folder', folder, ...words]);
const file = (name: string) => join(folder, name);

before(() => cert('api', '--address', '127.0.0.1', 'cloud.example'));
after(() => rmSync(dir, { recursive: true }));

describe('certificates', { timeout: 60_000 }, () => {
  test('are for the addresses and by the authority, and their keys are private', () => {
    const text = execFileSync('openssl', ['x509', '-noout', '-ext', 'subjectAltName', '-in', file('api.pem')], {
      encoding: 'utf8',
    });
    assert.match(text, /IP Address:127\.0\.0\.1, DNS:cloud\.example/);
    execFileSync('openssl', ['verify', '-CAfile', file('ca.pem'), file('api.pem')]);
    for (const name of ['ca.key', 'api.key']) assert.equal(statSync(file(name)).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder).toSorted(), ['api.key', 'api.pem', 'ca.key', 'ca.pem']);
  });

  test('stay when they are made again, unless they are to be renewed', async () => {
    const pems = () => [readFileSync(file('ca.pem'), 'utf8'), readFileSync(file('api.pem'), 'utf8')];
    const [ca, api] = pems();
    await cert('api', '--address', '127.0.0.1');
    assert.deepEqual(pems(), [ca, api]);
    await cert('api', '--address', '127.0.0.1', '--renew');
    assert.equal(pems()[0], ca);
    assert.notEqual(pems()[1], api);
  });

  test('are refused for what is no name, no address, nobody', async () => {
    await assert.rejects(cert('../api', '--address', '127.0.0.1'), /'\.\.\/api' is no name/);
    await assert.rejects(cert('other', '--address', 'a,IP:192.0.2.1'), /neither an address nor the name/);
    await assert.rejects(cert('other', '--address', 'a', '--owner', 'nobody-at-all'), /no user nobody-at-all/);
  });
});

test('a cloud that speaks HTTPS', { timeout: 60_000 }, async (t) => {
  const data = join(dir, 'data');
  const cloud = spawn(MICRONOVA, ['up', '--data', data, '--driver', 'fake', '--listen', '127.0.0.1:0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      MICRONOVA_TLS_CERT: file('api.pem'),
      MICRONOVA_TLS_KEY: file('api.key'),
      MICRONOVA_API_CA: file('ca.pem'),
    },
  });
  t.after(async () => {
    const exited = once(cloud, 'exit');
    cloud.kill();
    await exited;
  });
  const [line] = (await once(createInterface(cloud.stdout), 'line')) as [string];
  const [, url = ''] = /^ready (https:\S+)/.exec(line) ?? [];
  const ca = readFileSync(file('ca.pem'));

  await t.test('names itself so to whoever believes its authority', async () => {
    const answer = await text(`${url}/identity/v3`, { ca });
    assert.match(answer, new RegExp(`"${url}/identity/v3/?"`));
    await assert.rejects(text(`${url}/identity/v3`, {}), { code: /UNABLE_TO_VERIFY|SELF_SIGNED/ });
  });

  await t.test('is believed by its own command line', async () => {
    writeFileSync(join(dir, 'image'), 'x'.repeat(1024));
    await run(MICRONOVA, ['image', 'add', join(dir, 'image'), '--name', 'tiny', '--format', 'raw', '--data', data]);
    assert.match((await run(MICRONOVA, ['status', '--data', data])).stdout, /API +answers at https:/);
  });
});

async function text(url: string, options: { readonly ca?: Buffer }): Promise<string> {
  const asked = request(url, options).end();
  const [response] = (await once(asked, 'response')) as [import('node:http').IncomingMessage];
  return (await response.setEncoding('utf8').toArray()).join('');
}
