/** Each filter lets the right host through, and a refusal names the filter, how many it refused, and what was asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ANYWHERE, hostNamed, NOW } from './host-harness.ts';
import type { HostState, PlacementRequest } from './host-state.ts';
import { pick } from './pick.ts';
import { wantedSpecs } from './wanted-specs.ts';
import { weightOf } from './weighers/weight.ts';

interface Case {
  readonly filter: string;
  readonly request: Partial<PlacementRequest>;
  /** What makes a host fit for it, and what makes it unfit. */
  readonly fit?: Partial<HostState>;
  readonly unfit?: Partial<HostState>;
  readonly reason: string;
}

const specs = (extraSpecs: Record<string, string>) => ({ specs: wantedSpecs(extraSpecs) });

const CASES: readonly Case[] = [
  { filter: 'compute up', request: {}, unfit: { seenAt: NOW - 61_000 }, reason: 'down: 1.' },
  { filter: 'enabled', request: {}, unfit: { enabled: false }, reason: 'disabled: 1.' },
  { filter: 'another host', request: { leaving: 'unfit' }, reason: 'the host it is on: 1.' },
  { filter: 'requested host', request: { host: 'fit' }, reason: 'not the host asked for: 1 (asked fit).' },
  {
    filter: 'availability zone',
    request: { availabilityZone: 'west' },
    fit: { availabilityZone: 'west' },
    reason: 'availability zone: 1 (asked west).',
  },
  {
    filter: 'ram',
    request: {},
    unfit: { used: { vcpus: 0, memoryMib: 8100, diskGib: 0 } },
    reason: 'ram: 1 (asked 128 MiB, best free 92).',
  },
  {
    filter: 'vcpus',
    request: {},
    unfit: { used: { vcpus: 16, memoryMib: 0, diskGib: 0 } },
    reason: 'vcpus: 1 (asked 1, best free 0).',
  },
  {
    filter: 'disk',
    request: {},
    unfit: { used: { vcpus: 0, memoryMib: 0, diskGib: 100 } },
    reason: 'disk: 1 (asked 1 GiB, best free 0).',
  },
  {
    filter: 'image properties',
    request: { imageProperties: { hw_architecture: 'aarch64' } },
    fit: { cpuArch: 'aarch64' },
    reason: 'image properties: 1.',
  },
  {
    filter: 'capabilities, scoped',
    request: specs({ 'capabilities:cpu_info:arch': '<or> aarch64 <or> riscv64' }),
    fit: { cpuArch: 'riscv64' },
    reason: 'capabilities: 1 (asked cpu_info:arch <or> aarch64 <or> riscv64).',
  },
  {
    filter: 'capabilities, unscoped',
    request: specs({ hypervisor_version: '>= 8000000', 'hw:cpu_policy': 'dedicated' }),
    fit: { hypervisorVersion: 8_001_000 },
    reason: 'capabilities: 1 (asked hypervisor_version >= 8000000).',
  },
  {
    filter: 'aggregate metadata',
    request: specs({ 'aggregate_instance_extra_specs:ssd': 'true', 'aggregate_instance_extra_specs:rack': 's== r2' }),
    fit: { aggregates: [{ ssd: 'true' }, { rack: 'r1, r2' }] },
    unfit: { aggregates: [{ ssd: 'true' }, { rack: 'r3' }] },
    reason: 'aggregate metadata: 1 (asked ssd true, rack s== r2).',
  },
  {
    filter: 'different host',
    request: { apartFrom: new Set(['unfit']) },
    reason: 'different host: 1 (a server that it shall be apart from is there).',
  },
  {
    filter: 'same host',
    request: { togetherWith: new Set(['fit']) },
    reason: 'same host: 1 (no server that it shall be with is there).',
  },
  {
    filter: 'server group',
    request: { group: { policy: 'anti-affinity', maxPerHost: 1, membersByHost: new Map([['unfit', 1]]) } },
    reason: 'server group: 1 (anti-affinity, at most 1 on a host).',
  },
];

for (const { filter, request, fit = {}, unfit = {}, reason } of CASES) {
  test(`filter: ${filter}`, () => {
    const asked = { ...ANYWHERE, ...request };
    const bad = hostNamed('unfit', unfit);
    const good = hostNamed('fit', fit);
    const none: ReadonlySet<string> = new Set();
    assert.equal(pick([bad, good], asked, NOW, none).host?.name, 'fit');
    const refused = pick([bad], asked, NOW, none);
    assert.equal(refused.host, null);
    assert.equal(
      'reason' in refused && refused.reason,
      `There are not enough hosts available. 1 considered; ${reason}`,
    );
  });
}

test('a capability that no host has refuses every host, as in Nova', () => {
  const asked = { ...ANYWHERE, ...specs({ 'capabilities:constructor': 'x' }) };
  assert.equal(pick([hostNamed('any')], asked, NOW, new Set()).host, null);
});

const WEIGHTS: readonly (readonly [why: string, better: Partial<HostState>, worse: Partial<HostState>])[] = [
  ['memory to spare', {}, { used: { vcpus: 0, memoryMib: 4096, diskGib: 0 } }],
  ['CPUs to spare', {}, { used: { vcpus: 8, memoryMib: 0, diskGib: 0 } }],
  ['disk to spare', {}, { used: { vcpus: 0, memoryMib: 0, diskGib: 50 } }],
  ['less going on', { openOperations: 1 }, { openOperations: 4 }],
  [
    'no failures of late, even where it is full',
    { used: { vcpus: 16, memoryMib: 8192, diskGib: 100 }, openOperations: 100 },
    { failedBuilds: 1 },
  ],
  ['fewer failures', { failedBuilds: 1 }, { failedBuilds: 2 }],
];

for (const [why, better, worse] of WEIGHTS)
  test(`weight: ${why}`, () => assert.ok(weightOf(hostNamed('a', better)) > weightOf(hostNamed('b', worse))));
