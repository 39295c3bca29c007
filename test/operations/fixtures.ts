/**
 * For each kind of operation, the states in which it is tried: how a server gets there, how the operation begins, and what
 * of the server must be different afterwards. Nothing else may be. A kind without an entry does not compile.
 */
import assert from 'node:assert/strict';
import type { OperationKind } from '#domain/operation/operation.ts';
import type { User } from '../client.ts';
import type { Fixture } from './fixture.ts';
import { attaching, detaching } from './interfaces.ts';
import type { Photo } from './photo.ts';
import {
  active,
  broken,
  crashed,
  deaf,
  offloaded,
  paused,
  rescued,
  type Start,
  shelved,
  softDeleted,
  stopped,
  suspended,
  withAgent,
  withBackups,
} from './starts.ts';

const OFFLOADS_LATER = { shelved_offload_seconds: -1 };
const DELETES_SOFTLY = { reclaim_seconds: 100_000 };

/** An action on a server in some state, and what it changes. */
function acting(
  start: Start,
  action: string,
  argument: unknown,
  changes: Partial<Photo> | ((before: Photo, after: Photo) => Partial<Photo>),
  more: Pick<Fixture, 'config' | 'guestIsLoose'> & { readonly user?: User } = {},
): Fixture {
  const { user = 'demo', ...rest } = more;
  return {
    ...rest,
    async prepare(cloud) {
      const server = await start(cloud);
      return {
        server,
        begin: async () => {
          // Cut off by a crash, or refused with the error of the operation: that one tells.
          server.ask(action, argument, user).catch(() => undefined);
          return server;
        },
        done: (before, after) => ({
          ...before,
          ...(typeof changes === 'function' ? changes(before, after) : changes),
        }),
      };
    },
  };
}

const GONE: Partial<Photo> = {
  vmState: 'deleted',
  powerState: 0,
  host: null,
  room: null,
  guest: 'absent',
  disks: [],
  macs: [],
  ports: [],
  isReplaced: false,
};
const RUNNING: Partial<Photo> = { vmState: 'active', powerState: 1, guest: 'running' };
const OFF: Partial<Photo> = { vmState: 'stopped', powerState: 4, guest: 'stopped' };
const SOFT: Partial<Photo> = { vmState: 'soft-delete', powerState: 4, guest: 'stopped', isSoftDeleted: true };

function deleting(
  start: Start,
  changes: Partial<Photo> | ((before: Photo) => Partial<Photo>),
  config?: Fixture['config'],
): Fixture {
  return {
    ...(config && { config }),
    async prepare(cloud) {
      const server = await start(cloud);
      return {
        server,
        begin: async () => {
          await server.delete();
          return server;
        },
        done: (before) => ({ ...before, ...(typeof changes === 'function' ? changes(before) : changes) }),
      };
    },
  };
}

/** A rescue disk before the own one, which is not touched. */
function rescuedFrom(before: Photo, after: Photo): Partial<Photo> {
  const [rescue, ...own] = after.disks;
  assert.match(rescue?.[0] ?? '', /^rescue-/);
  assert.deepEqual(own, before.disks);
  return { ...RUNNING, vmState: 'rescued', disks: after.disks, isReplaced: true };
}

/** Another disk instead of the old one, and nothing kept of that. */
function rebuilt(before: Photo, after: Photo): Partial<Photo> {
  assert.equal(after.disks.length, 1);
  assert.notDeepEqual(after.disks, before.disks);
  return { disks: after.disks, name: 'rebuilt', metadata: '{"a":"b"}' };
}

function rebuilding(start: Start, ends: Partial<Photo>, more: Pick<Fixture, 'guestIsLoose'> = {}): Fixture {
  let image = '';
  return {
    ...more,
    async prepare(cloud) {
      image = await cloud.registerImage();
      const argument = { imageRef: image, name: 'rebuilt', metadata: { a: 'b' } };
      const changes = (before: Photo, after: Photo) => ({ ...rebuilt(before, after), ...ends, imageId: image });
      return acting(start, 'rebuild', argument, changes).prepare(cloud);
    },
  };
}

const KEPT: Partial<Photo> = {
  vmState: 'shelved',
  powerState: 4,
  guest: 'stopped',
  shelvedImage: 'active',
  isShelved: true,
  images: ['tester-shelved active'],
};
const OFF_HOST: Partial<Photo> = {
  ...KEPT,
  vmState: 'shelved_offloaded',
  host: null,
  room: null,
  guest: 'absent',
  disks: [],
  macs: [],
};
const UNSHELVED: Partial<Photo> = { ...RUNNING, shelvedImage: null, isShelved: false, images: [] };
const SNAPPED: Partial<Photo> = { images: ['snap active'] };
const snapshotFrom = (start: Start) => acting(start, 'createImage', { name: 'snap' }, SNAPPED);
const backupWith = (rotation: number, images: readonly string[]) =>
  acting(withBackups, 'createBackup', { name: 'backup-3', backup_type: 'daily', rotation }, { images });
/** Of the flavors that every cloud has: the one that test servers have, and a larger one. */
const LARGER = '84';
const TWO_HOSTS = { hosts: 2 };
const moved =
  (start: Start, action: string, argument: unknown, user: User): Start =>
  async (cloud) => {
    const server = await start(cloud);
    await server.act(action, argument, user);
    await server.is('VERIFY_RESIZE');
    return server;
  };
const migrated = moved(active, 'migrate', null, 'admin');
const resized = moved(active, 'resize', { flavorRef: LARGER }, 'demo');

/** On another host with its disk, and what it was copied from still there. */
function elsewhere(before: Photo, after: Photo): Partial<Photo> {
  assert.ok(after.host && after.host !== before.host);
  const contents = before.disks.map(([, content]) => content);
  assert.equal(before.elsewhere.length, 0);
  return {
    vmState: 'resized',
    host: after.host,
    room: after.host,
    oldRoom: before.host,
    elsewhere: [`stopped ${contents.toSorted()}`],
  };
}

const LIVE = { host: null, block_migration: 'auto' };

/** On another host, with the same disk and in the same state, and gone from where it was. */
function wentOver(before: Photo, after: Photo): Partial<Photo> {
  assert.ok(after.host && after.host !== before.host);
  return { host: after.host, room: after.host };
}

/** Its host is declared dead; the guest runs on there, as it may in truth. The host of an earlier trial comes back, and removes it. */
const fromDeadHost =
  (start: Start): Start =>
  async (cloud) => {
    const back = cloud.db.queries.updateTable('hosts').set({ forced_down: 0 }).where('forced_down', '=', 1);
    if ((await back.executeTakeFirst()).numUpdatedRows > 0n) await cloud.restart();
    const server = await start(cloud);
    const { queries } = cloud.db;
    const { host } = await queries
      .selectFrom('servers')
      .select('host')
      .where('id', '=', server.id)
      .executeTakeFirstOrThrow();
    await queries.updateTable('hosts').set({ forced_down: 1 }).where('name', '=', host).execute();
    return server;
  };

/** On another host with the disk that it had. */
export function evacuatedWithDisk(before: Photo, after: Photo): Photo {
  assert.ok(after.host && after.host !== before.host);
  return { ...before, host: after.host, room: after.host, elsewhere: after.elsewhere };
}

/** On another host with a new disk; what there was is on the dead host still, if anything is. */
function evacuated(before: Photo, after: Photo): Partial<Photo> {
  assert.ok(after.host && after.host !== before.host);
  assert.equal(after.disks.length, 1);
  assert.notDeepEqual(after.disks, before.disks);
  const left = `${before.guest} ${before.disks.map(([, content]) => content)}`;
  // Crashed in between, the dead host came back with all others, and has removed what is not its own any more.
  if (after.elsewhere.length > 0) assert.deepEqual(after.elsewhere, [left]);
  return { host: after.host, room: after.host, disks: after.disks, elsewhere: after.elsewhere };
}

/** Where it was, on a copy of its disk, which is kept. */
function copied(before: Photo, after: Photo): Partial<Photo> {
  const [[, content] = []] = before.disks;
  assert.equal(after.disks.length, 2);
  assert.match(after.disks[0]?.[0] ?? '', /^disk-/);
  for (const [, each] of after.disks) assert.equal(each, content, 'a copy');
  return { vmState: 'resized', disks: after.disks, oldRoom: before.host, flavor: LARGER, isReplaced: true };
}

const LOOSE = { guestIsLoose: true } as const;
/** One that fails leaves it in ERROR. */
const hard = (start: Start) => acting(start, 'reboot', { type: 'HARD' }, RUNNING, LOOSE);

export const FIXTURES: Readonly<Record<OperationKind, Readonly<Record<string, Fixture>>>> = {
  create: {
    '': {
      async prepare(cloud) {
        await cloud.image();
        return {
          server: null,
          begin: () => cloud.server().accepted(),
          done: (_, after) => {
            assert.deepEqual(
              after.disks.map(([name]) => name),
              ['disk'],
            );
            assert.equal(after.room, after.host);
            assert.ok(after.host);
            return { ...after, ...RUNNING, isReplaced: false, images: [], shelvedImage: null };
          },
        };
      },
    },
  },
  delete: {
    'of an active server': deleting(active, GONE),
    'of a suspended server': deleting(suspended, GONE),
    'of a rescued server': deleting(rescued, GONE),
    'of a server off its host': deleting(offloaded, { ...GONE, shelvedImage: 'gone', images: [] }),
  },
  forceDelete: {
    'of an active server': acting(active, 'forceDelete', null, GONE),
    'of a soft-deleted server': acting(softDeleted, 'forceDelete', null, GONE, { config: DELETES_SOFTLY }),
  },
  softDelete: {
    'of an active server': deleting(active, SOFT, DELETES_SOFTLY),
    'of a suspended server': deleting(suspended, SOFT, DELETES_SOFTLY),
    'of a rescued server': deleting(
      rescued,
      // Restored, it must boot from its own disk.
      ({ disks }) => ({ ...SOFT, disks: disks.slice(1), isReplaced: false }),
      DELETES_SOFTLY,
    ),
  },
  restore: {
    '': acting(softDeleted, 'restore', null, { ...RUNNING, isSoftDeleted: false }, { config: DELETES_SOFTLY }),
  },
  start: {
    'of a stopped server': acting(stopped, 'os-start', null, RUNNING),
    'of a crashed server': acting(crashed, 'os-start', null, RUNNING),
  },
  stop: {
    'of an active server': acting(active, 'os-stop', null, OFF),
    'of a server in ERROR': acting(broken, 'os-stop', null, OFF, LOOSE),
  },
  forceStop: { '': acting(active, 'os-stop', { type: 'HARD' }, OFF) },
  reboot: {
    'of a guest that listens': acting(active, 'reboot', { type: 'SOFT' }, RUNNING),
    'of a guest that does not listen': acting(deaf, 'reboot', { type: 'SOFT' }, RUNNING),
  },
  hardReboot: {
    'of an active server': hard(active),
    'of a stopped server': hard(stopped),
    'of a crashed server': hard(crashed),
    'of a paused server': hard(paused),
    'of a suspended server': hard(suspended),
    'of a server in ERROR': hard(broken),
  },
  pause: { '': acting(active, 'pause', null, { vmState: 'paused', powerState: 3, guest: 'paused' }) },
  unpause: { '': acting(paused, 'unpause', null, RUNNING) },
  suspend: { '': acting(active, 'suspend', null, { vmState: 'suspended', powerState: 4, guest: 'suspended' }) },
  resume: { '': acting(suspended, 'resume', null, RUNNING) },
  rescue: {
    'of an active server': acting(active, 'rescue', null, rescuedFrom),
    'of a stopped server': acting(stopped, 'rescue', null, rescuedFrom),
    'of a server in ERROR': acting(broken, 'rescue', null, rescuedFrom, LOOSE),
  },
  unrescue: {
    '': acting(rescued, 'unrescue', null, (before) => ({
      ...RUNNING,
      isReplaced: false,
      disks: before.disks.slice(1),
    })),
  },
  rebuild: {
    'of an active server': rebuilding(active, RUNNING),
    'of a stopped server': rebuilding(stopped, OFF),
    'of a server in ERROR': rebuilding(broken, RUNNING, LOOSE),
  },
  shelve: {
    'of an active server': acting(active, 'shelve', null, OFF_HOST),
    'of a stopped server': acting(stopped, 'shelve', null, OFF_HOST),
    'of a paused server': acting(paused, 'shelve', null, OFF_HOST),
    'of a suspended server': acting(suspended, 'shelve', null, OFF_HOST),
    'of an active server, which keeps its host': acting(active, 'shelve', null, KEPT, { config: OFFLOADS_LATER }),
    'of a suspended server, which keeps its host': acting(suspended, 'shelve', null, KEPT, { config: OFFLOADS_LATER }),
  },
  shelveOffload: { '': acting(shelved, 'shelveOffload', null, OFF_HOST, { config: OFFLOADS_LATER, user: 'admin' }) },
  unshelve: {
    'of a server off its host': acting(offloaded, 'unshelve', null, (_, after) => {
      assert.equal(after.disks.length, 1);
      assert.ok(after.host);
      assert.equal(after.room, after.host);
      assert.deepEqual(after.macs, after.ports);
      return { ...UNSHELVED, disks: after.disks, host: after.host, room: after.room, macs: after.macs };
    }),
    'of a server on its host': acting(shelved, 'unshelve', null, UNSHELVED, { config: OFFLOADS_LATER }),
  },
  createImage: {
    'of an active server': snapshotFrom(active),
    'of a stopped server': snapshotFrom(stopped),
    'of a paused server': snapshotFrom(paused),
    'of a suspended server': snapshotFrom(suspended),
  },
  createBackup: {
    'with room for one more': backupWith(3, ['backup-1 active', 'backup-2 active', 'backup-3 active']),
    'that pushes out the oldest': backupWith(2, ['backup-2 active', 'backup-3 active']),
    'of which none is kept': backupWith(0, []),
  },
  attachInterface: {
    'to an active server': attaching(active),
    'to a paused server': attaching(paused),
    'to a stopped server': attaching(stopped),
  },
  detachInterface: {
    'from an active server': detaching(active),
    'from a stopped server': detaching(stopped),
  },
  changePassword: { '': acting(withAgent, 'changePassword', { adminPass: 'x' }, {}) },
  migrate: {
    'of an active server': acting(active, 'migrate', null, elsewhere, { config: TWO_HOSTS, user: 'admin' }),
    'of a stopped server': acting(stopped, 'migrate', null, elsewhere, { config: TWO_HOSTS, user: 'admin' }),
  },
  resize: {
    'to another host': acting(
      active,
      'resize',
      { flavorRef: LARGER },
      (before, after) => ({ ...elsewhere(before, after), flavor: LARGER }),
      { config: { ...TWO_HOSTS, resize_on_same_host: 'no' } },
    ),
    'where it is': acting(active, 'resize', { flavorRef: LARGER }, copied),
    'where it is, of a stopped server': acting(stopped, 'resize', { flavorRef: LARGER }, copied),
  },
  liveMigrate: {
    'of an active server': acting(active, 'os-migrateLive', LIVE, wentOver, { config: TWO_HOSTS, user: 'admin' }),
    'of a paused server': acting(paused, 'os-migrateLive', LIVE, wentOver, { config: TWO_HOSTS, user: 'admin' }),
  },
  evacuate: {
    'of an active server': acting(fromDeadHost(active), 'evacuate', {}, evacuated, {
      config: TWO_HOSTS,
      user: 'admin',
    }),
    'of a stopped server': acting(fromDeadHost(stopped), 'evacuate', {}, evacuated, {
      config: TWO_HOSTS,
      user: 'admin',
    }),
  },
  confirmResize: {
    'of a migrated server': acting(
      migrated,
      'confirmResize',
      null,
      { vmState: 'active', oldRoom: null, elsewhere: [] },
      { config: TWO_HOSTS },
    ),
    'of a server that stayed on its host': acting(resized, 'confirmResize', null, ({ disks }) => ({
      vmState: 'active',
      oldRoom: null,
      disks: disks.slice(0, 1),
      isReplaced: false,
    })),
  },
  revertResize: {
    'of a migrated server': acting(
      migrated,
      'revertResize',
      null,
      ({ oldRoom }) => ({ vmState: 'active', host: oldRoom, room: oldRoom, oldRoom: null, elsewhere: [] }),
      { config: TWO_HOSTS },
    ),
    'of a server that stayed on its host': acting(resized, 'revertResize', null, ({ disks }) => ({
      vmState: 'active',
      oldRoom: null,
      flavor: '42',
      disks: disks.slice(1),
      isReplaced: false,
    })),
  },
};
