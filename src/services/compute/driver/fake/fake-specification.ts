/** The specification of a fake guest: another one, back to the one before, and cards that come and go. */

import { isDeepStrictEqual } from 'node:util';
import type { GuestNic, GuestSpec } from '../driver.ts';
import { DriverError } from '../driver-error.ts';
import { disksOf } from '../guest-files.ts';
import type { FakeRecord, FakeStore } from './fake-store.ts';

/** As many as a real one has. */
const MOST_NICS = 8;

/** What `Driver.reconfigure` promises. */
export async function reconfigure(store: FakeStore, record: FakeRecord, spec: GuestSpec): Promise<void> {
  if (isDeepStrictEqual(record.spec, spec)) return;
  requireStopped(record, 'Reconfigure');
  const before = record.before ?? record.spec;
  // As with a real one: what is kept is safe before anything changes, and a disk is there before it is spoken of.
  await store.write(spec.id, { ...record, before });
  const had = new Set([...disksOf(record.spec), ...disksOf(before)].map(({ name }) => name));
  for (const disk of disksOf(spec)) if (!had.has(disk.name)) await store.makeDisk(spec, disk);
  await store.write(spec.id, { ...record, before, spec });
  await store.sweep(spec, [spec, before], [record.spec]);
}

/** What `Driver.settle` promises. */
export async function settle(store: FakeStore, record: FakeRecord | null): Promise<void> {
  if (record) await leave(store, { ...record, before: null, leaving: record.before ?? record.leaving });
}

/** What `Driver.revert` promises. */
export async function revert(store: FakeStore, record: FakeRecord | null): Promise<void> {
  if (!record) return;
  const { before, spec } = record;
  if (!before) return leave(store, record);
  requireStopped(record, 'Revert');
  const leaving = record.leaving ?? spec;
  await store.write(spec.id, { ...record, leaving });
  await store.write(spec.id, { ...record, leaving, spec: before });
  await leave(store, { ...record, leaving, spec: before, before: null });
}

/** What `Driver.plug` promises. */
export async function plug(store: FakeStore, record: FakeRecord, nic: GuestNic): Promise<void> {
  requireAwake(record, 'Plug');
  const { spec } = record;
  if (spec.nics.some(({ mac }) => mac === nic.mac)) return;
  if (spec.nics.length === MOST_NICS)
    throw new DriverError('command_failed', `A guest has ${MOST_NICS} network cards at most`);
  await store.write(spec.id, { ...record, spec: { ...spec, nics: [...spec.nics, nic] } });
}

/** What `Driver.unplug` promises. */
export async function unplug(store: FakeStore, record: FakeRecord, mac: string): Promise<void> {
  requireAwake(record, 'Unplug');
  const { spec } = record;
  await store.write(spec.id, { ...record, spec: { ...spec, nics: spec.nics.filter((nic) => nic.mac !== mac) } });
}

/** Writes the record, and removes what only the specification that it leaves needed; it ends also when killed in between. */
async function leave(store: FakeStore, record: FakeRecord): Promise<void> {
  const { leaving, spec } = record;
  if (!leaving) return;
  await store.write(spec.id, record);
  await store.sweep(spec, [spec], [leaving]);
  await store.write(spec.id, { ...record, leaving: null });
}

function requireStopped(record: FakeRecord, what: string): void {
  const { spec, state } = record;
  if (state === 'stopped' || state === 'crashed') return;
  throw new DriverError('command_failed', `${what} of guest ${spec.id}: it must be stopped, and is ${state}`);
}

function requireAwake({ spec, state }: FakeRecord, what: string): void {
  if (state === 'suspended') throw new DriverError('not_running', `${what} of guest ${spec.id}: it is suspended`);
}
