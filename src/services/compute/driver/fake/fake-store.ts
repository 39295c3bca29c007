/**
 * Where the fake driver keeps its guests: in files, so that they outlive the process as QEMU does, or in memory, for
 * thousands of hosts in one process. Both forget nothing and invent nothing; neither syncs.
 */

import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { GuestId, GuestSpec } from '../driver.ts';
import { guestDir, listGuestIds, readIfThere, readSpec, unlinkIfThere, writeFileAtomic } from '../guest-files.ts';

/** What a created fake guest does; `absent` is the lack of a record. */
export type FakeState = 'stopped' | 'running' | 'crashed';

/** One guest. */
export interface FakeRecord {
  readonly spec: GuestSpec;
  readonly state: FakeState;
}

/** The store's two forms have this in common. */
export interface FakeStore {
  ids(): Promise<GuestId[]>;
  read(id: GuestId): Promise<FakeRecord | null>;
  /** Writes the record; a new guest gets its other files, too. */
  write(id: GuestId, record: FakeRecord): Promise<void>;
  remove(id: GuestId): Promise<void>;
  appendConsole(id: GuestId, text: string): Promise<void>;
  readConsole(id: GuestId): Promise<string>;
}

/** `<instancesDir>/<id>/{spec.json,state.json,disk,console.log}`. */
export function fileStore(instancesDir: string): FakeStore {
  const dirOf = (id: GuestId) => guestDir(instancesDir, id);
  return {
    ids: () => listGuestIds(instancesDir),
    async read(id) {
      const [spec, state] = await Promise.all([readSpec(dirOf(id)), readIfThere(join(dirOf(id), 'state.json'))]);
      if (!spec) return null;
      // Written below in one rename; a guest that was never started has none yet.
      return { spec, state: state === null ? 'stopped' : (JSON.parse(state) as { state: FakeState }).state };
    },
    async write(id, { spec, state }) {
      const dir = dirOf(id);
      await mkdir(dir, { recursive: true });
      const specText = JSON.stringify(spec);
      await writeFileAtomic(join(dir, 'state.json'), JSON.stringify({ state }));
      if ((await readIfThere(join(dir, 'spec.json'))) === specText) return;
      await appendFile(join(dir, 'disk'), '');
      await writeFileAtomic(join(dir, 'spec.json'), specText); // last: from here on the guest exists
    },
    async remove(id) {
      await unlinkIfThere(join(dirOf(id), 'spec.json'));
      await rm(dirOf(id), { recursive: true, force: true });
    },
    appendConsole: (id, text) => appendFile(join(dirOf(id), 'console.log'), text),
    readConsole: async (id) => (await readIfThere(join(dirOf(id), 'console.log'))) ?? '',
  };
}

/** The same without files. Ids are checked alike, so that a test at scale sees the same refusals. */
export function memoryStore(): FakeStore {
  const records = new Map<GuestId, FakeRecord>();
  const consoles = new Map<GuestId, string>();
  const known = (id: GuestId) => {
    guestDir('/', id);
    return id;
  };
  return {
    ids: async () => [...records.keys()],
    read: async (id) => records.get(known(id)) ?? null,
    write: async (id, record) => void records.set(known(id), record),
    async remove(id) {
      records.delete(known(id));
      consoles.delete(id);
    },
    appendConsole: async (id, text) => void consoles.set(id, (consoles.get(id) ?? '') + text),
    readConsole: async (id) => consoles.get(known(id)) ?? '',
  };
}
