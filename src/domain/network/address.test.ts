/** Addresses, ranges and MACs: one spelling out, every spelling in, and nothing that is none. */
import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, fromHex, hexToText, parseAddress, toHex } from './address.ts';
import { cidrFrom, defaultPools, formatCidr, formatPool, parseCidr } from './cidr.ts';
import { eui64, parseMac } from './mac.ts';

test('addresses keep through every form', () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), (text) => {
      const address = parseAddress(text);
      assert.ok(address, text);
      const written = formatAddress(address);
      assert.deepEqual(parseAddress(written), address);
      assert.deepEqual(fromHex(toHex(address)), address);
      assert.equal(hexToText(toHex(address)), written);
      if (address.version === 6) assert.equal(new URL(`http://[${text}]`).hostname, `[${written}]`);
    }),
  );
});

test('what Node takes for no address is none here', () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[0-9a-f:.]{0,20}$/), (text) => {
      assert.equal(parseAddress(text) !== null, isIP(text) !== 0, text);
    }),
    { numRuns: 2000 },
  );
  for (const text of ['', '1.2.3', '01.2.3.4', '1.2.3.256', '::%eth0', '1::2::3', ':::', '1.2.3.4/8'])
    assert.equal(parseAddress(text), null, text);
});

test('the record sorts as the addresses do', () => {
  const hexes = ['10.0.0.9', '10.0.0.10', '9.255.255.255'].map((text) => toHex(parseAddress(text) ?? fail()));
  assert.deepEqual(hexes.toSorted().map(hexToText), ['9.255.255.255', '10.0.0.9', '10.0.0.10']);
});

test('ranges lose the bits of hosts, and a pool is all that a guest may have', () => {
  assert.equal(formatCidr(cidrFrom('10.0.0.77/24')), '10.0.0.0/24');
  assert.equal(formatCidr(cidrFrom('2001:db8::1/64')), '2001:db8::/64');
  for (const text of ['10.0.0.0', '10.0.0.0/33', '10.0.0.0/-1', '10.0.0.0/8/8', '/8', '::/129'])
    assert.equal(parseCidr(text), null, text);
  const pools = (cidr: string, gateway: string | null) =>
    defaultPools(cidrFrom(cidr), gateway === null ? null : parseAddress(gateway)).map(formatPool);
  assert.deepEqual(pools('10.0.0.0/24', '10.0.0.1'), [{ start: '10.0.0.2', end: '10.0.0.254' }]);
  assert.deepEqual(pools('10.0.0.0/29', '10.0.0.3'), [
    { start: '10.0.0.1', end: '10.0.0.2' },
    { start: '10.0.0.4', end: '10.0.0.6' },
  ]);
  assert.deepEqual(pools('10.0.0.0/32', null), [{ start: '10.0.0.0', end: '10.0.0.0' }]);
  assert.deepEqual(pools('2001:db8::/64', '2001:db8::1'), [
    { start: '2001:db8::2', end: '2001:db8::ffff:ffff:ffff:ffff' },
  ]);
});

test('a MAC makes the address that its guest makes', () => {
  const address = formatAddress(eui64(cidrFrom('2001:db8::/64'), 'fa:16:3e:12:34:56'));
  assert.equal(address, '2001:db8::f816:3eff:fe12:3456');
  assert.equal(parseMac('FA-16-3E-12-34-56'), 'fa:16:3e:12:34:56');
  for (const text of ['fa:16:3e:12:34', '01:00:5e:00:00:01', '00:00:00:00:00:00', 'fa:16:3e:12:34:5g'])
    assert.equal(parseMac(text), null, text);
});

function fail(): never {
  throw new Error('no address');
}
