/** Resize and migrate, and the decision on them. */
import { randomUUID } from 'node:crypto';
import { type TSchema, Type } from 'typebox';
import type { ColdMoveInput, MovedInput } from '#contracts/operation-inputs.ts';
import { findHost } from '#db/repo/hosts.ts';
import { finishedMigration } from '#db/repo/server-migrations.ts';
import { usageOf } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { Versioned } from '#http/route.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { Name } from '../../loose-types.ts';
import { projectQuota } from '../../quotas/project-quota.ts';
import { accept, graceMsOf, guarded, imagePropertiesOf, isRunning } from '../accept.ts';
import { usableFlavor } from '../create-request.ts';
import { flavorSnapshot } from '../new-server.ts';
import { flavorOf } from '../view.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const strict = { additionalProperties: false };

const ResizeArgument = Type.Object(
  {
    flavorRef: Type.Union([Type.String({ minLength: 1, maxLength: 255 }), Type.Integer()]),
    'OS-DCF:diskConfig': Type.Optional(Type.Enum(['AUTO', 'MANUAL'])),
  },
  strict,
);

const resize = action({
  doc: 'Gives the server another flavor, on another host or where it is; to be confirmed or reverted.',
  argument: ResizeArgument,
  handle: async (deps, request, row, wanted) => {
    checkAllowed('resize', guarded(row), caller(request));
    const flavor = flavorSnapshot(await usableFlavor(deps, caller(request), String(wanted.flavorRef)));
    await checkResize(deps, row, flavor);
    const diskConfig = wanted['OS-DCF:diskConfig'] ?? row.disk_config;
    const input = coldMove(deps, row, { flavor, mayStay: deps.lifecycle.resizesOnSameHost, host: null, diskConfig });
    await accept(deps, request, row, {
      kind: 'resize',
      input,
      move: { uuid: randomUUID(), type: 'resize', newFlavor: flavor },
    });
    return {};
  },
});

const MigrateArgument: Versioned<TSchema> = [
  { from: 1, schema: Type.Unknown() },
  {
    from: 56,
    schema: Type.Union([Type.Null(), Type.Object({ host: Type.Optional(Type.Union([Name, Type.Null()])) }, strict)]),
  },
];

const migrate = action({
  doc: 'Moves the server to another host while it is shut off; to be confirmed or reverted. For administrators.',
  argument: MigrateArgument,
  handle: async (deps, request, row, argument) => {
    checkAllowed('migrate', guarded(row), caller(request));
    const host = request.version >= 56 ? ((argument as { host?: string | null } | null)?.host ?? null) : null;
    await checkTarget(deps, row, host);
    const flavor = flavorOf(row);
    const input = coldMove(deps, row, { flavor, mayStay: false, host, diskConfig: row.disk_config });
    await accept(deps, request, row, {
      kind: 'migrate',
      input,
      move: { uuid: randomUUID(), type: 'migration', newFlavor: flavor },
    });
    return {};
  },
});

const confirmResize = action({
  doc: 'Ends a move for good: what is left where the server came from is removed.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    await decide(deps, request, row, 'confirmResize');
    return { status: 204 };
  },
});

const revertResize = action({
  doc: 'Takes a move back: the server is again where it was and as it was.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    await decide(deps, request, row, 'revertResize');
    return {};
  },
});

async function decide(
  deps: ApiDeps,
  request: ActionRequest,
  row: ServerRow,
  kind: 'confirmResize' | 'revertResize',
): Promise<void> {
  checkAllowed(kind, guarded(row), caller(request));
  const migration = await finishedMigration(deps.db.queries, row.id);
  if (!migration?.dest_host) throw new CloudError('conflict', { reason: `Instance ${row.id} has not been moved.` });
  const isOn = row.power_state === POWER_STATES.running;
  const input: MovedInput = {
    from: migration.source_host,
    to: migration.dest_host,
    wasRunning: isOn,
    // Reverted it does what it did before it left; nobody knows better than the guest that came of it.
    run: isOn,
    graceMs: graceMsOf(deps, row),
    oldFlavor: JSON.parse(migration.old_flavor) as FlavorSnapshot,
  };
  const status = kind === 'confirmResize' ? 'confirming' : 'reverting';
  await accept(deps, request, row, { kind, input, move: { uuid: migration.uuid, status } });
}

/** What Nova refuses at once. */
async function checkResize(deps: ApiDeps, row: ServerRow, flavor: FlavorSnapshot): Promise<void> {
  const old = flavorOf(row);
  if (flavor.id === old.id)
    throw new CloudError('badRequest', { reason: 'When resizing, instances must change flavor!' });
  if (flavor.diskGib < old.diskGib) {
    throw new CloudError('badRequest', {
      reason:
        flavor.diskGib === 0
          ? 'Resize to zero disk flavor is not allowed.'
          : `Unable to resize disk down: flavor ${flavor.name} has ${flavor.diskGib} GiB, the server's disk ${old.diskGib} GiB.`,
    });
  }
  const { queries } = deps.db;
  const used = await usageOf(queries, row.project_id);
  const quota = await projectQuota(queries, deps.quota, row.project_id);
  const resources = [
    { name: 'cores', limit: quota.cores, used: used.vcpus, more: flavor.vcpus - old.vcpus },
    { name: 'ram', limit: quota.ramMib, used: used.memoryMib, more: flavor.memoryMib - old.memoryMib },
  ];
  for (const { name, limit, used: now, more } of resources) {
    if (limit >= 0 && more > 0 && now + more > limit)
      throw new CloudError('quotaExceeded', { resource: name, asked: more, used: now, limit });
  }
}

/** The host that an administrator names must be another one that there is. */
export async function checkTarget({ db }: ApiDeps, row: ServerRow, host: string | null): Promise<void> {
  if (host === null) return;
  if (host === row.host) throw new CloudError('badRequest', { reason: "The target host can't be the same one." });
  if (!(await findHost(db.queries, host)))
    throw new CloudError('badRequest', { reason: `Compute host ${host} could not be found.` });
}

function coldMove(
  deps: ApiDeps,
  row: ServerRow,
  to: {
    readonly flavor: FlavorSnapshot;
    readonly mayStay: boolean;
    readonly host: string | null;
    readonly diskConfig: ServerRow['disk_config'];
  },
): ColdMoveInput {
  if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
  return {
    graceMs: graceMsOf(deps, row),
    wasRunning: isRunning(row),
    availabilityZone: row.availability_zone,
    host: to.host,
    imageProperties: imagePropertiesOf(row),
    from: row.host,
    mayStay: to.mayStay,
    oldFlavor: flavorOf(row),
    newFlavor: to.flavor,
    oldDiskConfig: row.disk_config,
    newDiskConfig: to.diskConfig,
  };
}

export const moveActions: Readonly<Record<string, Action>> = { resize, migrate, confirmResize, revertResize };
