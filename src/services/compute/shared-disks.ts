/**
 * Disks on storage that several hosts see, as NFS: one folder per guest, with a note of the one host that holds it.
 *
 * Only the holder lets the guest execute, and only the holder removes anything; a host that finds another's name leaves the folder as
 * it is. That two hosts see the same folder is never believed because somebody configured it: the one shows a file that it wrote
 * for this move, and the other has to find it. Everything may be repeated, and killed on any line.
 */
import { randomUUID } from 'node:crypto';
import { chmod, mkdir, readdir, readFile, rm, rmdir, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { CloudError } from '#domain/errors.ts';
import { type DiskNote, NOTE, type NotedDisk, readNote, writeNote } from './disk-note.ts';
import type { GuestSpec } from './driver/driver.ts';
import { diskFile, disksOf, guestDir, isMissing } from './driver/guest-files.ts';

/** What shows that two hosts see one folder: a file in it that was made a moment ago, and what it says. */
export interface Proof {
  readonly file: string;
  readonly content: string;
  /** Who shows it. */
  readonly host: string;
}

const PROOF = /^proof-[0-9a-f-]{36}$/;

export interface SharedDisksOptions {
  /** Absolute; null: disks lie in the guests' own folders. */
  readonly dir: string | null;
  readonly host: string;
}

export class SharedDisks {
  readonly #root: string | null;
  readonly #host: string;
  /** Files that prove something, by the offer to which they belong. */
  readonly #shown = new Map<string, string>();

  constructor({ dir, host }: SharedDisksOptions) {
    this.#root = dir;
    this.#host = host;
  }

  /** Where the guest's disks are or would be; null where hosts share nothing. */
  dirOf(serverId: string): string | null {
    return this.#root === null ? null : guestDir(this.#root, serverId);
  }

  /** The note of the guest's folder; null where there is none. */
  async noteOf(serverId: string): Promise<DiskNote | null> {
    const dir = this.dirOf(serverId);
    return dir === null ? null : readNote(dir);
  }

  /** Makes the folder of a new guest, and this host its holder. Throws `conflict` when another one is. */
  async claim(serverId: string): Promise<void> {
    const dir = this.dirOf(serverId);
    if (dir === null) return;
    // QEMU's user passes through, and can neither look around nor make files.
    await mkdir(dir, { recursive: true, mode: 0o711 });
    await chmod(dir, 0o711);
    const note = await readNote(dir);
    if (note && note.host !== this.#host) throw heldBy(serverId, note.host);
    if (!note) await writeNote(dir, { host: this.#host, disks: [] });
  }

  /** Throws `conflict` unless this host holds the guest's disks, or they lie in its own folder. */
  async requireHeld(spec: GuestSpec | null): Promise<void> {
    if (spec?.disksDir === undefined) return;
    const note = await readNote(spec.disksDir);
    if (!note) throw new CloudError('conflict', { reason: `Nobody holds the disks of server ${spec.id} here.` });
    if (note.host !== this.#host) throw heldBy(spec.id, note.host);
  }

  /** Notes which disks the guest has now, for a host that has nothing but them. Another one's, and in its own folder: nothing. */
  async noteDisks(spec: GuestSpec | null): Promise<void> {
    if (spec?.disksDir === undefined) return;
    const note = await readNote(spec.disksDir);
    if (note?.host !== this.#host) return;
    const disks = disksOf(spec).map(({ name, base, baseFormat, sizeBytes }) => {
      return { name, base: basename(base), baseFormat, sizeBytes };
    });
    await writeNote(spec.disksDir, { ...note, disks });
  }

  /**
   * Shows the folder of a guest to whoever can see it; null for one whose disks lie in its own, or are another host's, unless
   * they were this host's until now: then the one that it shows it to has them already.
   */
  async prove(spec: GuestSpec): Promise<Proof | null> {
    const { disksDir } = spec;
    const note = disksDir === undefined ? null : await readNote(disksDir);
    if (disksDir === undefined || !note || (note.host !== this.#host && note.takenFrom !== this.#host)) return null;
    for (const name of await readdir(disksDir)) if (PROOF.test(name)) await rm(join(disksDir, name), { force: true });
    const proof = { file: `proof-${randomUUID()}`, content: randomUUID(), host: this.#host };
    await writeFile(join(disksDir, proof.file), proof.content, { flag: 'wx', mode: 0o600, flush: true });
    return proof;
  }

  /** Shows it as long as that offer stands. */
  showDuring(offerId: string, spec: GuestSpec, proof: Proof | null): void {
    if (proof && spec.disksDir !== undefined) this.#shown.set(offerId, join(spec.disksDir, proof.file));
  }

  /** What was shown during the offer is shown no more. None: nothing. */
  async hide(offerId: string): Promise<void> {
    const path = this.#shown.get(offerId);
    if (path === undefined) return;
    await rm(path, { force: true });
    this.#shown.delete(offerId);
  }

  /** Whether this host sees what another one proves, and is the folder where it would look for the guest itself. */
  async sees(serverId: string, { file, content }: Proof): Promise<boolean> {
    const dir = this.dirOf(serverId);
    if (dir === null || !PROOF.test(file)) return false;
    try {
      return (await readFile(join(dir, file), 'utf8')) === content;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  /** Throws `conflict` unless every disk is there with what it lies over: what is missing must not be made anew. */
  async requireWhole(serverId: string, dir: string, disks: readonly Pick<NotedDisk, 'name' | 'base'>[]): Promise<void> {
    const names = await readdir(dir);
    for (const { name, base } of disks) {
      if (names.includes(diskFile(name)) && names.includes(basename(base))) continue;
      throw new CloudError('conflict', {
        reason: `Disk ${name} of server ${serverId} is not whole on the shared storage.`,
      });
    }
  }

  /** The disks that a dead host left, whoever has taken them for this one's guest; null where it left none. */
  async leftBy(serverId: string, from: string): Promise<readonly NotedDisk[] | null> {
    const note = await this.noteOf(serverId);
    const isTaken = note?.host === this.#host && note.takenFrom === from;
    return note && (note.host === from || isTaken) ? note.disks : null;
  }

  /** Makes this host the holder in the place of `from`. It is already: nothing. Held by a third: `conflict`. */
  async take(serverId: string, from: string): Promise<void> {
    await this.#change(serverId, from, this.#host);
  }

  /** Makes `to` the holder in the place of this host. It is already: nothing. Held by a third: `conflict`. */
  async give(serverId: string, to: string): Promise<void> {
    await this.#change(serverId, this.#host, to);
  }

  /** Gives disks back that were taken from `host`. Made here, or another's: nothing. */
  async giveBack(serverId: string, host: string): Promise<void> {
    const note = await this.noteOf(serverId);
    const dir = this.dirOf(serverId);
    if (dir === null || note?.host !== this.#host || note.takenFrom !== host) return;
    await writeNote(dir, { host, disks: note.disks });
  }

  /** Removes the guest's folder, if this host holds it. The guest must not execute any more. */
  async remove(serverId: string): Promise<void> {
    const dir = this.dirOf(serverId);
    if (dir === null || (await readNote(dir))?.host !== this.#host) return;
    for (const name of await readdir(dir))
      if (name !== NOTE) await rm(join(dir, name), { recursive: true, force: true });
    // Last: as long as there is something, somebody holds it.
    await rm(join(dir, NOTE), { force: true });
    await rmdir(dir);
  }

  async #change(serverId: string, from: string, to: string): Promise<void> {
    const dir = this.dirOf(serverId);
    const note = dir === null ? null : await readNote(dir);
    if (dir === null || !note)
      throw new CloudError('conflict', { reason: `Server ${serverId} has no disks on shared storage here.` });
    if (note.host === to) return;
    if (note.host !== from) throw heldBy(serverId, note.host);
    await writeNote(dir, { host: to, takenFrom: from, disks: note.disks });
  }
}

function heldBy(serverId: string, host: string): CloudError {
  return new CloudError('conflict', { reason: `The disks of server ${serverId} belong to host ${host} now.` });
}
