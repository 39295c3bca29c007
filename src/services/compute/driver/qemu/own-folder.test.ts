/** What somebody else put in place of our folder is not believed. */

import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ownFolder, readOwn } from './own-folder.ts';

test('a link or a file in place of our folder: nothing is read there, and nothing written', async () => {
  const root = await mkdtemp(join(tmpdir(), 'micronova-own-'));
  try {
    const theirs = join(root, 'theirs');
    await mkdir(theirs);
    await writeFile(join(theirs, 'note'), 'believe me');
    const dir = join(root, 'guest');
    await mkdir(dir);
    assert.equal(await readOwn(dir, 'note'), null);
    await symlink(theirs, join(dir, 'own'));
    assert.equal(await readOwn(dir, 'note'), null);
    await assert.rejects(ownFolder(dir), { code: 'command_failed' });
    await rm(join(dir, 'own'));
    await writeFile(join(dir, 'own'), '');
    await assert.rejects(ownFolder(dir), { code: 'command_failed' });
    await rm(join(dir, 'own'));
    await writeFile(join(await ownFolder(dir), 'note'), 'ours');
    assert.equal(await readOwn(dir, 'note'), 'ours');
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});
