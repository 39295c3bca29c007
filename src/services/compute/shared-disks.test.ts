/** Who holds disks that several hosts see, who believes to see them, and who removes them: two hosts on one folder. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { GuestSpec } from './driver/driver.ts';
import { SharedBases } from './shared-bases.ts';
import { SharedDisks } from './shared-disks.ts';

const ID = '0d6cbd68-4d0e-4d3f-8f29-5f3f6a3c0007';
const CONFLICT = { code: 'conflict' };

function temporary(t: TestContext, below = tmpdir()): string {
  const root = mkdtempSync(join(below, 'micronova-shared-'));
  t.after(() => rm(root, { recursive: true, force: true }));
  return root;
}

/** A guest that `a` has made; `b` sees the same folder, `c` another one of the same name. */
async function made(t: TestContext) {
  const [root, elsewhere] = [temporary(t), temporary(t)];
  const [a, b] = ['a', 'b'].map((host) => new SharedDisks({ dir: root, host })) as [SharedDisks, SharedDisks];
  const c = new SharedDisks({ dir: elsewhere, host: 'c' });
  const dir = join(root, ID);
  const disk = { name: 'disk', base: join(dir, 'base-1'), baseFormat: 'qcow2', sizeBytes: 1 } as const;
  const spec: GuestSpec = {
    id: ID,
    name: 'guest',
    vcpus: 1,
    memoryMib: 1,
    disk,
    otherDisks: [],
    nics: [],
    configDrive: null,
    guestAgent: false,
    disksDir: dir,
  };
  await a.claim(ID);
  for (const name of ['disk.qcow2', 'base-1']) await writeFile(join(dir, name), 'x');
  await a.noteDisks(spec);
  return { root, dir, spec, a, b, c };
}

test('one host holds a guest’s disks: another neither claims nor runs nor removes them', async (t) => {
  const { a, b, spec, dir } = await made(t);
  await a.claim(ID);
  await a.requireHeld(spec);
  await assert.rejects(b.claim(ID), CONFLICT);
  await assert.rejects(b.requireHeld(spec), CONFLICT);
  await b.noteDisks({ ...spec, disk: { ...spec.disk, name: 'other' } });
  assert.equal((await a.noteOf(ID))?.disks[0]?.name, 'disk');
  await b.remove(ID);
  assert.deepEqual(readdirSync(dir).toSorted(), ['base-1', 'disk.qcow2', 'holder.json']);
  await a.remove(ID);
  await a.remove(ID);
  assert.equal(existsSync(dir), false);
  await assert.rejects(a.requireHeld(spec), CONFLICT);
});

test('disks that were taken go back to where they came from, and to nobody else', async (t) => {
  const { a, b, spec, dir } = await made(t);
  await assert.rejects(b.take(ID, 'c'), CONFLICT);
  for (let twice = 0; twice < 2; twice++) await b.take(ID, 'a');
  await assert.rejects(a.requireHeld(spec), CONFLICT);
  await b.requireHeld(spec);
  await a.remove(ID);
  assert.ok(existsSync(join(dir, 'disk.qcow2')));
  await b.giveBack(ID, 'c');
  await b.requireHeld(spec);
  for (let twice = 0; twice < 2; twice++) await b.giveBack(ID, 'a');
  await a.requireHeld(spec);
  await b.remove(ID);
  assert.ok(existsSync(join(dir, 'disk.qcow2')));
  await a.giveBack(ID, 'b');
  await a.requireHeld(spec);
  await a.give(ID, 'b');
  await assert.rejects(a.give(ID, 'c'), CONFLICT);
  assert.deepEqual(await b.leftBy(ID, 'a'), [{ name: 'disk', base: 'base-1', baseFormat: 'qcow2', sizeBytes: 1 }]);
  assert.equal(await a.leftBy(ID, 'c'), null);
});

test('only a host that finds the file of this very move sees the same storage', async (t) => {
  const { a, b, c, spec, dir } = await made(t);
  const proof = await a.prove(spec);
  assert.ok(proof);
  a.showDuring('offer', spec, proof);
  assert.equal(await b.sees(ID, proof), true);
  // Configured alike, with a folder of that guest, and not the same one.
  await c.claim(ID);
  assert.equal(await c.sees(ID, proof), false);
  assert.equal(await b.sees(ID, { ...proof, content: 'guessed' }), false);
  writeFileSync(join(dir, 'other'), 'x');
  assert.equal(await b.sees(ID, { ...proof, file: 'other', content: 'x' }), false);
  assert.equal(await new SharedDisks({ dir: null, host: 'd' }).sees(ID, proof), false);
  await a.hide('offer');
  assert.equal(await b.sees(ID, proof), false);
  assert.equal(await b.prove(spec), null, 'who does not hold it shows nothing');
  await a.prove(spec);
  await a.prove(spec);
  assert.equal(readdirSync(dir).filter((name) => name.startsWith('proof-')).length, 1, 'what a killed one left goes');
});

test('a removal that was killed is ended by the next', async (t) => {
  const { a, b, dir } = await made(t);
  await rm(join(dir, 'disk.qcow2'));
  await b.remove(ID);
  assert.ok(existsSync(dir));
  await a.remove(ID);
  assert.equal(existsSync(dir), false);
});

test('a missing disk, or what lies below it, is said and not made anew', async (t) => {
  const { a, dir, spec } = await made(t);
  await a.requireWhole(ID, dir, [spec.disk]);
  for (const name of ['base-1', 'disk.qcow2']) {
    await rm(join(dir, name));
    await assert.rejects(a.requireWhole(ID, dir, [spec.disk]), CONFLICT);
    await writeFile(join(dir, name), 'x');
  }
});

const OTHER_FILE_SYSTEM = '/dev/shm';
const isOther = existsSync(OTHER_FILE_SYSTEM) && statSync(OTHER_FILE_SYSTEM).dev !== statSync(tmpdir()).dev;

test('a base comes to the shared storage once, and goes when no guest has had it for a day', {
  skip: !isOther,
}, async (t) => {
  const [root, cache] = [temporary(t), temporary(t, OTHER_FILE_SYSTEM)];
  const source = join(cache, 'image');
  await writeFile(source, 'bytes of it');
  let now = Date.now();
  const [one, two] = [0, 1].map(() => new SharedBases(root, () => now)) as [SharedBases, SharedBases];
  const places = ['guest-1', 'guest-2'].map((name) => join(root, name));
  for (const place of places) await mkdir(place);
  const targets = places.map((place) => join(place, 'base-image')) as [string, string];
  await Promise.all([one.place(source, 'image', targets[0]), two.place(source, 'image', targets[1])]);
  await one.place(source, 'image', targets[0]);
  assert.deepEqual(readdirSync(join(root, '.bases')), ['image']);
  assert.deepEqual(
    targets.map((target) => statSync(target).nlink),
    [3, 3],
  );
  now += 25 * 3_600_000;
  await rm(targets[0]);
  await two.dropUnused();
  assert.deepEqual(readdirSync(join(root, '.bases')), ['image']);
  await rm(targets[1]);
  now = Date.now();
  await two.dropUnused();
  assert.equal(readdirSync(join(root, '.bases')).length, 1, 'it was one’s a moment ago');
  now += 25 * 3_600_000;
  await one.dropUnused();
  assert.deepEqual(readdirSync(join(root, '.bases')), []);
});
