import assert from 'node:assert/strict';
import { test } from 'node:test';
import pino from 'pino';
import type { HostNetwork } from '#contracts/host-network.ts';
import { eventually } from '../../../test/eventually.ts';
import { HostNetworks, type HostNetworksOptions } from './host-networks.ts';

/** A plan with these ports. */
const planOf = (ports: readonly string[]) =>
  ({ networks: [{ ports: ports.map((id) => ({ id })) }], groups: [], routers: [] }) as unknown as HostNetwork;

/** A record that changes, and a host that is as the last plan said. */
function stage() {
  let wanted: readonly string[] = [];
  let revision = 0;
  const it = {
    asked: 0,
    applied: [] as HostNetwork[],
    failures: 0,
    running: [] as readonly string[],
    attached: [] as string[],
    conflicts: [] as string[],
    /** Of the log. */
    warned: [] as string[],
    /** What is made waits for it. */
    gate: Promise.resolve(),
    want(ports: readonly string[]) {
      wanted = ports;
      revision += 1;
    },
  };
  const conductor = {
    hostNetwork: async ({ revision: known }: { revision?: string }) => {
      it.asked += 1;
      const current = String(revision);
      return known === current ? { revision: current } : { revision: current, plan: planOf(wanted) };
    },
  };
  const networks = new HostNetworks({
    host: 'here',
    // A stand-in with the method that is called.
    conductor: conductor as unknown as HostNetworksOptions['conductor'],
    plane: {
      kind: 'rooted',
      apply: async (plan) => {
        await it.gate;
        if (it.failures > 0) {
          it.failures -= 1;
          throw new Error('no room for a bridge');
        }
        it.applied.push(plan);
      },
      attach: async (portId) => {
        if (portId === 'lost') throw new Error('there is no such tap');
        it.attached.push(portId);
      },
      conflicts: () => it.conflicts,
    },
    runningPorts: async () => it.running,
    againMs: 1,
    log: pino(
      { level: 'warn' },
      {
        write: (line: string) => {
          const { conflict } = JSON.parse(line) as { conflict?: string };
          if (conflict !== undefined) it.warned.push(conflict);
        },
      },
    ),
  });
  return Object.assign(it, { networks });
}

test('a port of a new server is made when it is needed, and not asked for again', async () => {
  const it = stage();
  it.want(['a']);
  await it.networks.ensure(['a']);
  await it.networks.ensure(['a']);
  assert.deepEqual([it.asked, it.applied], [1, [planOf(['a'])]]);
  await assert.rejects(it.networks.ensure(['a', 'b']), { status: 409 });
  assert.deepEqual([it.asked, it.applied.length], [2, 1], 'nothing has changed, so nothing is made again');
  await it.networks.close();
});

test('who asks while others wait gets one that begins afterwards, together with them', async () => {
  const it = stage();
  it.want(['a']);
  const first = it.networks.refresh();
  // The first has asked by then.
  await new Promise((resolve) => setImmediate(resolve));
  it.want(['a', 'b']);
  await Promise.all([first, ...Array.from({ length: 20 }, () => it.networks.ensure(['a', 'b']))]);
  assert.ok(it.asked <= 3, `${it.asked} questions`);
  await it.networks.close();
});

test('a port that leaves and comes back at once is there for who asks, whatever is being made meanwhile', async () => {
  const it = stage();
  it.want(['a']);
  await it.networks.ensure(['a']);
  const gate = Promise.withResolvers<void>();
  it.gate = gate.promise;
  it.want([]);
  it.networks.hint();
  await eventually('it is being taken away', async () => it.asked === 2);
  it.want(['a']);
  const ensured = it.networks.ensure(['a']);
  gate.resolve();
  await ensured;
  assert.deepEqual(it.applied.at(-1), planOf(['a']));
  await it.networks.close();
});

test('what failed is made as a whole the next time', async () => {
  const it = stage();
  it.want(['a']);
  it.failures = 1;
  await assert.rejects(it.networks.ensure(['a']), /no room/);
  await it.networks.ensure(['a']);
  assert.deepEqual(it.applied, [planOf(['a'])]);
  await it.networks.close();
});

test('a hint goes on until it is so', async () => {
  const it = stage();
  it.want(['a']);
  it.failures = 2;
  it.networks.hint();
  it.networks.hint();
  await eventually('the plan is made', async () => it.applied.length > 0);
  assert.deepEqual([it.asked, it.applied], [3, [planOf(['a'])]]);
  await it.networks.close();
});

test('a hint that comes while another is heeded is heeded too', async () => {
  const it = stage();
  it.want(['a']);
  const gate = Promise.withResolvers<void>();
  it.gate = gate.promise;
  it.networks.hint();
  await eventually('it has asked', async () => it.asked === 1);
  it.want(['a', 'b']);
  it.networks.hint();
  gate.resolve();
  await eventually('the second plan is made', async () => it.applied.length === 2);
  await it.networks.close();
});

test('what runs already is joined once, after the first plan, as far as it can be', async () => {
  const it = stage();
  it.want(['a', 'lost', 'b', 'c']);
  it.running = ['lost', 'a', 'elsewhere', 'b'];
  it.failures = 1;
  await assert.rejects(it.networks.refresh(), /no room/);
  assert.deepEqual(it.attached, []);
  await it.networks.refresh();
  assert.deepEqual(it.attached, ['a', 'b']);
  it.want(['a', 'b']);
  await it.networks.refresh();
  assert.deepEqual(it.attached, ['a', 'b']);
  await it.networks.close();
});

test('what of the machine is in the way is told once, and again when it was away', async () => {
  const it = stage();
  for (const conflicts of [['eth9'], ['eth9'], [], ['eth9']]) {
    it.conflicts = conflicts;
    it.want([`${it.asked}`]);
    await it.networks.refresh();
  }
  assert.deepEqual(it.warned, ['eth9', 'eth9']);
  await it.networks.close();
});
