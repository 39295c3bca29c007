/** The bus over TLS, where both sides show certificates of the same authority. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { Broker } from '#local/rabbitmq.ts';
import { eventually } from '../eventually.ts';
import { openTransport } from './open.ts';

const dir = mkdtempSync(join(tmpdir(), 'micronova-tls-'));
const file = (name: string) => join(dir, name);
const openssl = (...words: readonly string[]) => execFileSync('openssl', words, { cwd: dir, stdio: 'pipe' });
const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];

function authority(name: string): void {
  openssl('req', '-x509', ...KEY, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`);
}

function certificate(name: string, by: string): void {
  const issuer = ['-CA', `${by}.pem`, '-CAkey', `${by}.key`, '-addext', 'subjectAltName=DNS:localhost'];
  openssl(
    'req',
    '-x509',
    ...KEY,
    ...issuer,
    '-subj',
    `/CN=${name}`,
    '-addext',
    'basicConstraints=critical,CA:FALSE',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
  );
}

authority('ca');
authority('stranger');
certificate('broker', 'ca');
certificate('client', 'ca');
const broker = await Broker.start({ tls: { ca: file('ca.pem'), cert: file('broker.pem'), key: file('broker.key') } });
after(async () => {
  await broker[Symbol.asyncDispose]();
  rmSync(dir, { recursive: true });
});

const url = broker.url('', { tls: true });
const mine = { cert: file('client.pem'), key: file('client.key') };

describe('the bus over TLS', { timeout: 60_000 }, () => {
  test('carries messages', async () => {
    await using bus = openTransport(url, { ...mine, ca: file('ca.pem') });
    await bus.transport.ready();
    const got = Promise.withResolvers<string>();
    await bus.transport.subscribe('conductor', async (message) => got.resolve(message));
    await bus.transport.publish('conductor', 'hello');
    assert.equal(await got.promise, 'hello');
  });

  test('is not used with a broker that somebody else vouches for', async () => {
    await using bus = openTransport(url, { ...mine, ca: file('stranger.pem') });
    await eventually('it is said', async () => bus.lines.length > 0);
    assert.match(bus.lines[0] ?? '', /^error: RabbitMQ at localhost:\d+ is not reachable: .*certificate.*; retrying$/);
    await assert.rejects(bus.transport.publish('conductor', 'secret'), { code: 'serviceUnavailable' });
  });

  test('is refused by a broker that wants to know who comes', async () => {
    await using bus = openTransport(url, { ca: file('ca.pem') });
    await eventually('it is said', async () => bus.lines.length > 0);
    assert.match(
      bus.lines[0] ?? '',
      /^error: RabbitMQ at localhost:\d+ is not reachable: .*certificate required; retrying$/,
    );
  });

  test('needs files that can be read, and an address that has to do with them', () => {
    assert.throws(() => openTransport(url, { ca: file('missing.pem') }), {
      code: 'badRequest',
      message: /bus_ca.*ENOENT/,
    });
    assert.throws(() => openTransport('amqp://localhost', { ca: file('ca.pem') }), { message: /use amqps/ });
    assert.throws(() => openTransport('http://user:hidden@localhost'), {
      message: 'bus: the address begins with http, not with amqp or amqps',
    });
    assert.throws(() => openTransport('localhost'), { code: 'badRequest', message: /is no URL/ });
  });
});
