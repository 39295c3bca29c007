import assert from 'node:assert/strict';
import { test } from 'node:test';
import { namesOf } from './names.ts';
import { rangeConflicts } from './range-conflicts.ts';

const { isOurs, external } = namesOf('one');
const at = (ifname: string, local: string, prefixlen: number) => ({ ifname, addr_info: [{ local, prefixlen }] });
const OTHER = namesOf('two').external('n');

test('a range that another cloud or the machine has is told, with what to set', () => {
  const found = rangeConflicts(
    ['172.24.4.0/24', '198.51.100.0/24'],
    [at(external('n'), '172.24.4.1', 24), at(OTHER, '172.24.4.1', 24), at('eth1', '198.51.100.130', 25)],
    isOurs,
  );
  assert.equal(found.length, 2);
  assert.match(
    found[0] ?? '',
    /^172\.24\.4\.0\/24 .* 172\.24\.4\.1\/24 too \(mntwox[0-9a-f]{7}, of another cloud.*`public_cidr`/,
  );
  assert.match(found[1] ?? '', /^198\.51\.100\.0\/24 .* 198\.51\.100\.130\/25 too \(eth1\)/);
});

test('what is elsewhere, wider or IPv6 is none', () => {
  const links = [at('eth0', '10.0.0.9', 24), at('eth1', '172.16.0.1', 12), at('eth2', 'fd00::1', 64), { ifname: 'lo' }];
  assert.deepEqual(rangeConflicts(['172.24.4.0/24'], links, isOurs), []);
});
