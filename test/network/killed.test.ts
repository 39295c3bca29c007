/** A plane's process may be killed between any two of its commands: the next one makes what is wanted, and nothing else is left. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import type { HostNetwork } from '#contracts/host-network.ts';
import { Bench, type Kind } from './bench.ts';
import { differences, picture } from './picture.ts';
import { external, gateway, id, network, plan, port, router } from './plans.ts';

const DOOMED = new URL('./doomed.ts', import.meta.url).pathname;
const [a, b, c] = [port('a', '10.1.0.5'), port('b', '10.1.0.6', { groups: null }), port('c', '10.2.0.5')];
const joined = router('r', [['n1', '10.1.0']], { gateway: gateway() });
const PLANS: readonly [HostNetwork, HostNetwork] = [
  plan([network('n1', '10.1.0', [a, b], { peers: ['192.0.2.77'] }), external()], {
    routers: [{ ...joined, floatingIps: [{ id: id('f'), address: '203.0.113.50', fixed: '10.1.0.5' }] }],
  }),
  plan([network('n1', '10.1.0', [b]), network('n2', '10.2.0', [c]), external()], {
    routers: [{ ...joined, routes: [{ destination: '10.77.0.0/16', nexthop: '10.1.0.6' }] }],
  }),
];

for (const [kind, every] of [
  ['rooted', 1],
  ['rootless', 9],
] as readonly [Kind, number][]) {
  test(`killed at any of its commands, ${kind}`, async () => {
    const tried: number[] = [];
    await using first = new Bench({ kind });
    const { tag, dir } = first;
    const wanted = new Map<HostNetwork, Record<string, string[]>>();
    const take = async (each: HostNetwork, what: string): Promise<void> => {
      const next = new Bench({ kind, tag, dir });
      await next.plane.recover();
      await next.plane.apply(each);
      const found = await picture(next);
      await next.plane.close();
      const before = wanted.get(each);
      if (before) assert.deepEqual(differences(before, found), [], what);
      wanted.set(each, found);
    };
    await take(PLANS[0], 'the first time');
    await take(PLANS[1], 'the first time');
    for (let fatal = 1, ended = false; !ended; fatal += every) {
      const target = PLANS[tried.length % 2] ?? PLANS[0];
      const { signal, status, stderr } = spawnSync(process.execPath, [DOOMED, kind, tag, dir, `${fatal}`], {
        input: JSON.stringify(target),
        encoding: 'utf8',
      });
      ended = signal === null;
      if (ended) assert.equal(status, 0, stderr);
      await take(target, `after command ${fatal}`);
      tried.push(fatal);
    }
    assert.ok(tried.length * every > 25, `only ${tried.length} commands`);
    console.log(`kill points: ${tried.length} of the network plane, ${kind}`);
    await first.plane.recover();
    await first.plane.apply(plan([]));
    assert.deepEqual(await first.traces(), []);
  });
}
