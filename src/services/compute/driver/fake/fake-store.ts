/**
 * Where the fake driver keeps its guests: in files, so that they outlive the process as QEMU does, or in memory, for
 * thousands of hosts in one process. Both forget nothing and invent nothing; neither syncs.
 */

import { randomUUID } from 'node:crypto';
import { appendFile, mkdir, readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { GuestDisk, GuestId, GuestSpec, GuestState } from '../driver.ts';
import {
  diskFile,
  disksDirOf,
  disksOf,
  filesNeeded,
  guestDir,
  isMissing,
  listGuestIds,
  readIfThere,
  readSpec,
  unlinkIfThere,
  writeFileAtomic,
} from '../guest-files.ts';

/** What a created fake guest does; `absent` is the lack of a record. */
export type FakeState = Exclude<GuestState, 'absent'>;

/** A guest on its way: `here` with what of it has come, `elsewhere` when it has gone; `ran` says what it did then. */
export type FakeMove =
  | { readonly to: 'here'; readonly disks: boolean; readonly memory: boolean }
  | { readonly to: 'elsewhere'; readonly ran: boolean };

/** One guest. */
export interface FakeRecord {
  readonly spec: GuestSpec;
  /** What `revert` goes back to; null when there is nothing to take back. */
  readonly before: GuestSpec | null;
  /** One that is left for good, and whose files may not all be gone. */
  readonly leaving: GuestSpec | null;
  readonly state: FakeState;
  readonly reason: string | null;
  readonly lostWithHost: boolean;
  readonly move: FakeMove | null;
}

/** A record before anything happened. */
export const NEW = {
  before: null,
  leaving: null,
  state: 'stopped',
  reason: null,
  lostWithHost: false,
  move: null,
} as const satisfies Omit<FakeRecord, 'spec'>;

/** Whose disks, and where they lie. */
export type DisksOf = Pick<GuestSpec, 'id' | 'disksDir'>;

/** The store's two forms have this in common. */
export interface FakeStore {
  ids(): Promise<GuestId[]>;
  read(id: GuestId): Promise<FakeRecord | null>;
  /** Writes the record: first what is beside the specification, then that. */
  write(id: GuestId, record: FakeRecord): Promise<void>;
  remove(id: GuestId): Promise<void>;
  /** The disks there are: name → what was written at their creation, which no two have in common. */
  disks(of: DisksOf): Promise<Readonly<Record<string, string>>>;
  /** Makes a disk unless there is one of that name. */
  makeDisk(of: DisksOf, disk: Pick<GuestDisk, 'name' | 'copyOf'>): Promise<void>;
  /** Makes a disk with this content, or gives it to one. */
  writeDisk(of: DisksOf, name: string, content: string): Promise<void>;
  removeDisk(of: DisksOf, name: string): Promise<void>;
  /** Removes the disks that none of `needed` has, and those bases of `gone` that lie in the guest's folder likewise. */
  sweep(of: DisksOf, needed: readonly (GuestSpec | null)[], gone: readonly (GuestSpec | null)[]): Promise<void>;
  appendConsole(id: GuestId, text: string): Promise<void>;
  readConsole(id: GuestId): Promise<string>;
}

const identity = () => `disk ${randomUUID()}\n`;
const DISK = /^(.*)\.qcow2$/;

/** `<instancesDir>/<id>/{spec.json,state.json,<disk>.qcow2,console.log}`. */
export function fileStore(instancesDir: string): FakeStore {
  const dirOf = (id: GuestId) => guestDir(instancesDir, id);
  const disksOfGuest = (of: DisksOf) => disksDirOf(dirOf(of.id), of);
  const diskNames = async (dir: string): Promise<string[]> => {
    try {
      return (await readdir(dir)).flatMap((name) => DISK.exec(name)?.[1] ?? []);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  };
  return {
    ids: () => listGuestIds(instancesDir),
    async read(id) {
      const [spec, state] = await Promise.all([readSpec(dirOf(id)), readIfThere(join(dirOf(id), 'state.json'))]);
      if (!spec) return null;
      // Written below in one rename; a guest of whom nothing else is known has none.
      return { ...NEW, ...(state === null ? {} : (JSON.parse(state) as Omit<FakeRecord, 'spec'>)), spec };
    },
    async write(id, { spec, ...rest }) {
      const dir = dirOf(id);
      await mkdir(dir, { recursive: true });
      const specText = JSON.stringify(spec);
      await writeFileAtomic(join(dir, 'state.json'), JSON.stringify(rest));
      if ((await readIfThere(join(dir, 'spec.json'))) === specText) return;
      await writeFileAtomic(join(dir, 'spec.json'), specText); // last: from here on the guest exists
    },
    async remove(id) {
      await unlinkIfThere(join(dirOf(id), 'spec.json'));
      await rm(dirOf(id), { recursive: true, force: true });
    },
    async disks(of) {
      const dir = disksOfGuest(of);
      const names = await diskNames(dir);
      const contents = await Promise.all(names.map((name) => readIfThere(join(dir, diskFile(name)))));
      return Object.fromEntries(names.map((name, index) => [name, contents[index] ?? '']));
    },
    async makeDisk(of, { name, copyOf }) {
      const dir = disksOfGuest(of);
      await mkdir(dir, { recursive: true });
      const path = join(dir, diskFile(name));
      if ((await readIfThere(path)) !== null) return;
      const copied = copyOf === undefined ? null : await readIfThere(join(dir, diskFile(copyOf)));
      await writeFileAtomic(path, copied ?? identity());
    },
    async writeDisk(of, name, content) {
      const dir = disksOfGuest(of);
      await mkdir(dir, { recursive: true });
      await writeFileAtomic(join(dir, diskFile(name)), content);
    },
    removeDisk: (of, name) => unlinkIfThere(join(disksOfGuest(of), diskFile(name))),
    async sweep(of, needed, gone) {
      const dir = disksOfGuest(of);
      const bases = gone.flatMap((spec) => (spec ? disksOf(spec).map(({ base }) => base) : []));
      const inside = bases.filter((base) => dirname(base) === dir).map((base) => basename(base));
      const needless = new Set([...(await diskNames(dir)).map(diskFile), ...inside]).difference(
        filesNeeded(dir, ...needed),
      );
      for (const name of needless) await unlinkIfThere(join(dir, name));
    },
    appendConsole: (id, text) => appendFile(join(dirOf(id), 'console.log'), text),
    readConsole: async (id) => (await readIfThere(join(dirOf(id), 'console.log'))) ?? '',
  };
}

/** The same without files. Ids are checked alike, so that a test at scale sees the same refusals. */
export function memoryStore(): FakeStore {
  const records = new Map<GuestId, FakeRecord>();
  const consoles = new Map<GuestId, string>();
  const disks = new Map<GuestId, Map<string, string>>();
  const known = (id: GuestId) => {
    guestDir('/', id);
    return id;
  };
  return {
    ids: async () => [...records.keys()],
    read: async (id) => records.get(known(id)) ?? null,
    write: async (id, record) => void records.set(known(id), record),
    async remove(id) {
      for (const each of [records, consoles, disks]) each.delete(known(id));
    },
    disks: async ({ id }) => Object.fromEntries(disks.get(known(id)) ?? []),
    async makeDisk({ id }, { name, copyOf }) {
      const all = disks.get(known(id)) ?? new Map<string, string>();
      disks.set(id, all.has(name) ? all : all.set(name, all.get(copyOf ?? '') ?? identity()));
    },
    async writeDisk({ id }, name, content) {
      disks.set(id, (disks.get(known(id)) ?? new Map<string, string>()).set(name, content));
    },
    removeDisk: async ({ id }, name) => void disks.get(known(id))?.delete(name),
    async sweep({ id }, needed) {
      const names = new Set(needed.flatMap((spec) => (spec ? disksOf(spec).map(({ name }) => name) : [])));
      for (const name of disks.get(known(id))?.keys() ?? []) if (!names.has(name)) disks.get(id)?.delete(name);
    },
    appendConsole: async (id, text) => void consoles.set(id, (consoles.get(id) ?? '') + text),
    readConsole: async (id) => consoles.get(known(id)) ?? '',
  };
}
