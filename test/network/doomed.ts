/** A process that takes a plane over, applies a plan, and is killed before its n-th command: `doomed.ts KIND TAG DIR N` with the plan on stdin. */
import { text } from 'node:stream/consumers';
import type { HostNetwork } from '#contracts/host-network.ts';
import { Bench, type Kind } from './bench.ts';

const [kind, tag = '', dir = '', fatal] = process.argv.slice(2);
// Our own parent's.
const plan = JSON.parse(await text(process.stdin)) as HostNetwork;
let commands = 0;
const bench = new Bench({
  kind: kind as Kind,
  tag,
  dir,
  before: () => {
    commands++;
    if (commands === Number(fatal)) process.kill(process.pid, 'SIGKILL');
  },
});
await bench.plane.recover();
await bench.plane.apply(plan);
await bench.plane.close();
