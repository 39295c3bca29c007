/** Request lines and Host headers in the one form that routes know. */
import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { aliasOf, hostOf, routedUrl, serviceAt } from './address.ts';

const SERVICES = [
  { prefix: '/old', aliases: (path: string) => (path.startsWith('/v1/') ? { path: `/v2${path.slice(3)}` } : null) },
  { prefix: '/plain' },
];
const request = (url: string) => ({ url }) as IncomingMessage;

test('a whole URL in the request line is its path', () => {
  for (const [asked, routed] of [
    ['/plain/x?y=1', '/plain/x?y=1'],
    ['http://evil.example/plain/x?y=1', '/plain/x?y=1'],
    ['HTTP://evil.example:80', '/'],
    ['https://a/?b', '/?b'],
    ['*', '*'],
    ['//plain/x', '//plain/x'],
  ] as const)
    assert.equal(routedUrl(request(asked), SERVICES), routed, asked);
});

test('an alias is replaced, its query kept, and remembered for the request', () => {
  const aliased = request('/old/v1/things?limit=1');
  assert.equal(routedUrl(aliased, SERVICES), '/old/v2/things?limit=1');
  assert.deepEqual(aliasOf(aliased), { path: '/v2/things' });
  const plain = request('/plain/v1/things');
  assert.equal(routedUrl(plain, SERVICES), '/plain/v1/things');
  assert.equal(aliasOf(plain), undefined);
});

test('a path belongs to a service by whole segments', () => {
  assert.equal(serviceAt('/plain', SERVICES)?.prefix, '/plain');
  assert.equal(serviceAt('/plain?x', SERVICES)?.prefix, '/plain');
  assert.equal(serviceAt('/plainer', SERVICES), undefined);
  assert.equal(serviceAt('/', SERVICES), undefined);
});

test('a Host is a name or an address with a port, and missing is where the request came to', () => {
  const socket = { localAddress: '127.0.0.1', localPort: 8774 };
  for (const host of ['cloud.example', 'cloud_1:80', '10.0.0.1:8774', '[::1]:8774', '[fe80::1]'])
    assert.equal(hostOf(host, socket), host);
  for (const host of [undefined, '']) assert.equal(hostOf(host, socket), '127.0.0.1:8774');
  for (const host of ['a b', 'evil"><script>', '[', 'user@host', 'a:b', 'a/b', 'é', 'x'.repeat(300), 'a:999999'])
    assert.throws(() => hostOf(host, socket), /Malformed Host header/, host);
});
