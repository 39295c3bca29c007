/** What a machine can have is tried out, and said. Needs root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { choosePlane } from '#services/compute/network/choose-plane.ts';
import { freeTag } from './bench.ts';
import { network, plan, port } from './plans.ts';

test('for root it is rooted, works with the users of this machine, and the trial leaves nothing', async () => {
  const [dir, tag] = [mkdtempSync(join(tmpdir(), 'micronova-choose-')), freeTag()];
  try {
    const plane = await choosePlane({ want: 'auto', tag, dir: join(dir, 'network'), qemuUid: null });
    assert.equal(plane.kind, 'rooted', plane.why);
    assert.ok(!namespaces().some((name) => name.includes(`mn-${tag}-`)));
    await plane.recover();
    try {
      await plane.apply(plan([network('n1', '10.1.0', [port('a', '10.1.0.5')])]));
      assert.ok(namespaces().includes(`mn-${tag}-n-6e3100000000`));
      await assert.rejects(plane.tapFor('nobody'), /in no network/);
    } finally {
      await plane.remove();
    }
    assert.ok(!namespaces().some((name) => name.includes(`mn-${tag}-`)));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

test('what cannot be is none, and says why', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'micronova-choose-'));
  const of = (want: 'none' | 'rooted' | 'rootless') => choosePlane({ want, tag: freeTag(), dir, qemuUid: null });
  try {
    assert.equal((await of('none')).kind, 'none');
    assert.match((await of('rootless')).why, /ordinary users/);
    const none = await of('none');
    await none.apply(plan([]));
    await assert.rejects(none.tapFor('any'), /no networks: no network is asked for/);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

function namespaces(): string[] {
  return execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '');
}
