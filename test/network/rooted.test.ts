/** The network plane on the machine itself. Needs root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Bench } from './bench.ts';
import { conformance } from './conformance.ts';
import { external, plan } from './plans.ts';

conformance('rooted');

test('says who on the machine has the range of an external network already', async () => {
  await using bench = await Bench.open();
  const device = `x${bench.tag}`;
  await bench.outside('ip', 'link', 'add', device, 'type', 'bridge');
  try {
    await bench.outside('ip', 'address', 'add', '203.0.113.1/24', 'dev', device);
    await bench.plane.apply(plan([external()]));
    const [conflict = ''] = bench.plane.conflicts();
    assert.match(conflict, new RegExp(`203\\.0\\.113\\.0/24 .*${device}.*public_cidr`));
  } finally {
    await bench.outside('ip', 'link', 'del', device);
  }
  await bench.plane.apply(plan([external()]));
  assert.deepEqual(bench.plane.conflicts(), []);
});
