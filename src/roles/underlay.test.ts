import assert from 'node:assert/strict';
import { test } from 'node:test';
import { underlayAddress } from './underlay.ts';

const of = (network_address: string, agent_listen = '127.0.0.1:0') =>
  underlayAddress({ network_address, agent_listen });

test('tunnels end where it is said, else where the agent listens', () => {
  assert.equal(of('198.51.100.7', '192.0.2.12:16509'), '198.51.100.7');
  assert.equal(of('2001:db8::7'), '2001:db8::7');
  assert.equal(of('', '192.0.2.12:16509'), '192.0.2.12');
  assert.equal(of('', '[2001:db8::8]:0'), '2001:db8::8');
});

test('there are none where nobody else could reach them', () => {
  for (const listen of ['127.0.0.1:0', '0.0.0.0:16509', '[::]:0', '[::1]:0', 'host-a:16509', ':16509'])
    assert.equal(of('', listen), null, listen);
});

test('a name is no address', () => {
  assert.throws(() => of('host-a'), /network_address: 'host-a' is no IP address/);
});
