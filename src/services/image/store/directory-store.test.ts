import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storeConformance } from './conformance.ts';
import { directoryStore } from './directory-store.ts';

storeConformance('a directory', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'micronova-store-'));
  const store = directoryStore(dir);
  return {
    store,
    stagingDir: join(dir, 'staging'),
    reopen: () => directoryStore(dir),
    leftovers: async () => (await readdir(dir)).filter((name) => name.endsWith('.partial')),
    async [Symbol.asyncDispose]() {
      await store.close();
      await rm(dir, { recursive: true });
    },
  };
});
