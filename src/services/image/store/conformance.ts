/** What every store must do, as tests: `storeConformance` declares them for one. */
import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { link, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import type { ImageStore, IncomingImage } from './image-store.ts';

/** A store that is empty, and another one on the same images: a process that comes after. */
export interface StoreBench extends AsyncDisposable {
  readonly store: ImageStore;
  /** Where files wait to be taken over. */
  readonly stagingDir: string;
  /** As after a kill: nothing of the first is closed. */
  reopen(): ImageStore;
  /** What there is beside images: names of partial files, of open uploads. */
  leftovers(): Promise<readonly string[]>;
}

/** More than the store writes in one piece, and no multiple of anything. */
const LARGE = 20 * 2 ** 20 + 12_345;
const MIB = 2 ** 20;

/** Declares the tests; `open` makes a bench for each. */
export function storeConformance(name: string, open: () => Promise<StoreBench>): void {
  const on = (what: string, run: (bench: StoreBench) => Promise<void>) =>
    test(what, async () => {
      await using bench = await open();
      await bench.store.keepOnly(null);
      await run(bench);
    });

  describe(`${name} as a store of images`, () => {
    for (const size of [0, 1, 8 * MIB, 16 * MIB, LARGE])
      on(
        `${size} bytes: nobody sees them before they are published, and then all of them`,
        async ({ store, leftovers }) => {
          const [id, bytes] = [randomUUID(), randomBytes(size)];
          const incoming = await store.openWrite(id);
          await append(incoming, bytes);
          assert.equal(incoming.sizeBytes, size);
          assert.deepEqual(await incoming.source(false).read(0, 64), new Uint8Array(bytes.subarray(0, 64)));
          assert.deepEqual(await incoming.seal(), digestsOf(bytes));
          assert.equal(await store.openRead(id), null);
          await incoming.publish();
          assert.ok((await contentOf(store, id))?.equals(bytes));
          await incoming.settle();
          assert.ok((await contentOf(store, id))?.equals(bytes));
          assert.deepEqual(await leftovers(), []);
        },
      );

    on('ranges are read as asked', async ({ store }) => {
      const [id, bytes] = [randomUUID(), randomBytes(LARGE)];
      await keep(store, id, bytes);
      for (const [start, end] of [
        [0, 1],
        [7, 7],
        [MIB - 1, MIB + 1],
        [8 * MIB - 5, 8 * MIB + 5],
        [LARGE - 3, LARGE],
      ] as const)
        assert.ok((await contentOf(store, id, start, end))?.equals(bytes.subarray(start, end)), `${start} to ${end}`);
    });

    on('a reader that goes away, or is slow, hurts nobody', async ({ store }) => {
      const id = randomUUID();
      await keep(store, id, randomBytes(LARGE));
      const image = await store.openRead(id);
      const gone = new Writable({ write: (_chunk, _encoding, done) => void done(new Error('gone')) });
      gone.on('error', () => undefined);
      await assert.rejects(async () => image?.copyTo(gone, 0, LARGE));
      await image?.close();
      assert.equal((await contentOf(store, id))?.length, LARGE);
    });

    on('given up at any moment, nothing is left', async ({ store, leftovers }) => {
      for (const moment of ['opened', 'appended', 'sealed', 'published', 'published and settled']) {
        const id = randomUUID();
        const incoming = await store.openWrite(id);
        if (moment !== 'opened') await append(incoming, randomBytes(LARGE));
        if (moment !== 'opened' && moment !== 'appended') await incoming.seal();
        if (moment.startsWith('published')) await incoming.publish();
        for (let twice = 0; twice < 2; twice++) await incoming.discard();
        assert.equal(await store.openRead(id), null, moment);
        assert.deepEqual(await leftovers(), [], moment);
      }
    });

    on('what a killed process had begun goes with the next attempt, or at the next start', async (bench) => {
      const ids = [randomUUID(), randomUUID()] as const;
      const begun = await Promise.all(ids.map((id) => bench.store.openWrite(id)));
      for (const incoming of begun) await append(incoming, randomBytes(LARGE));
      const after = bench.reopen();
      await keep(after, ids[0], Buffer.from('whole'));
      assert.equal((await contentOf(after, ids[0]))?.toString(), 'whole');
      const { removed, missing } = await after.keepOnly(new Set([ids[0]]));
      assert.ok(removed.some((name) => name.startsWith(ids[1])));
      assert.deepEqual(missing, []);
      assert.equal(await after.openRead(ids[1]), null);
      assert.deepEqual(await bench.leftovers(), []);
      // What a process that is not dead after all does then.
      for (const incoming of begun) await incoming.discard();
      assert.equal((await contentOf(after, ids[0]))?.toString(), 'whole');
      await after.close();
    });

    on('deleted, it is gone; once more, nothing', async ({ store }) => {
      const id = randomUUID();
      await keep(store, id, Buffer.from('x'));
      for (let twice = 0; twice < 2; twice++) await store.delete(id);
      assert.equal(await store.openRead(id), null);
    });

    on('only what is known is kept, but for a record that knows nothing', async ({ store }) => {
      const [kept, orphan, missing] = [randomUUID(), randomUUID(), randomUUID()];
      for (const id of [kept, orphan]) await keep(store, id, Buffer.from(id));
      assert.deepEqual(await store.keepOnly(null), { removed: [], missing: [] });
      assert.deepEqual(await store.keepOnly(new Set([kept, missing])), { removed: [orphan], missing: [missing] });
      assert.equal(await store.openRead(orphan), null);
      assert.equal((await contentOf(store, kept))?.toString(), kept);
    });

    on('a file that is there is taken over, and goes when it is settled', async ({ store, stagingDir, leftovers }) => {
      for (const size of [5, LARGE]) {
        const [id, bytes] = [randomUUID(), randomBytes(size)];
        const path = join(stagingDir, id, 'disk.qcow2');
        await mkdir(join(stagingDir, id));
        await writeFile(path, bytes);
        const url = pathToFileURL(path).href;
        const staged = await store.takeOver(id, url);
        assert.ok(staged && !staged.isStored);
        assert.deepEqual(await staged.source(true).read(0, 5), new Uint8Array(bytes.subarray(0, 5)));
        assert.deepEqual(await staged.seal(), digestsOf(bytes));
        assert.equal(await store.openRead(id), null);
        await staged.publish();
        assert.ok(existsSync(path), 'until the record says so');
        const again = await store.takeOver(id, url);
        assert.equal(again?.isStored, true);
        await again?.discard();
        assert.ok((await contentOf(store, id))?.equals(bytes), 'it was not the other’s to take back');
        await staged.settle();
        assert.equal(existsSync(path), false);
        assert.equal(await store.takeOver(id, url), null);
        assert.ok((await contentOf(store, id))?.equals(bytes));
        assert.deepEqual(await leftovers(), []);
      }
    });

    on('a file that is not kept is given back', async ({ store, stagingDir, leftovers }) => {
      const id = randomUUID();
      const path = join(stagingDir, 'file');
      await writeFile(path, 'mine');
      const staged = await store.takeOver(id, pathToFileURL(path).href);
      await staged?.seal();
      await staged?.publish();
      for (let twice = 0; twice < 2; twice++) await staged?.discard();
      assert.equal(await store.openRead(id), null);
      assert.equal(await readFile(path, 'utf8'), 'mine');
      assert.deepEqual(await leftovers(), []);
    });

    on('no other file is taken over', async ({ store, stagingDir }) => {
      const outside = join(stagingDir, '..', 'outside');
      await writeFile(outside, 'secret');
      await symlink(outside, join(stagingDir, 'symbolic'));
      await link(outside, join(stagingDir, 'second-name'));
      const urls = [outside, join(stagingDir, 'symbolic'), join(stagingDir, 'second-name'), stagingDir];
      for (const url of ['https://host/file', ...urls.map((path) => pathToFileURL(path).href)])
        await assert.rejects(store.takeOver(randomUUID(), url), { code: 'badRequest' }, url);
    });

    on('what is no image id is nowhere', async ({ store }) => {
      for (const id of ['../secret', 'x', ''])
        for (const ask of [() => store.openRead(id), () => store.delete(id), () => store.openWrite(id)])
          await assert.rejects(async () => ask(), TypeError);
    });
  });
}

async function append(incoming: IncomingImage, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += MIB) {
    // Their memory may be taken away once they are there.
    const half = Math.min(at + MIB / 2, bytes.length);
    await incoming.append([bytes.subarray(at, half), bytes.subarray(half, at + MIB)]);
  }
}

async function keep(store: ImageStore, id: string, bytes: Buffer): Promise<void> {
  const incoming = await store.openWrite(id);
  await append(incoming, bytes);
  await incoming.seal();
  await incoming.publish();
  await incoming.settle();
}

async function contentOf(store: ImageStore, id: string, start = 0, end?: number): Promise<Buffer | null> {
  const image = await store.openRead(id);
  if (!image) return null;
  const chunks: Buffer[] = [];
  const target = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(Buffer.from(chunk));
      setImmediate(done);
    },
  });
  await image.copyTo(target, start, end ?? image.sizeBytes);
  await image.close();
  return Buffer.concat(chunks);
}

function digestsOf(bytes: Buffer) {
  const [md5, sha512] = ['md5', 'sha512'].map((algorithm) => createHash(algorithm).update(bytes).digest('hex'));
  return { md5, sha512 };
}
