/** Live migration: to another host while the guest runs. */
import { randomUUID } from 'node:crypto';
import { type TProperties, type TSchema, Type } from 'typebox';
import type { LiveMigrateInput } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { Versioned } from '#http/route.ts';
import { LooseBoolean, Name } from '../../loose-types.ts';
import { accept, guarded, imagePropertiesOf, isRunning } from '../accept.ts';
import { flavorOf } from '../view.ts';
import { type Action, action } from './action.ts';
import { checkTarget } from './moves.ts';

const body = (properties: TProperties): TSchema =>
  Type.Object({ host: Type.Union([Name, Type.Null()]), ...properties }, { additionalProperties: false });

/** Disks always go along: hosts share none, so `block_migration` decides nothing. */
const Block = Type.Union([LooseBoolean, Type.Literal('auto')]);

const MigrateLiveArgument: Versioned<TSchema> = [
  { from: 1, schema: body({ block_migration: LooseBoolean, disk_over_commit: LooseBoolean }) },
  { from: 25, schema: body({ block_migration: Block }) },
  { from: 30, schema: body({ block_migration: Block, force: Type.Optional(LooseBoolean) }) },
  { from: 68, schema: body({ block_migration: Block }) },
];

const migrateLive = action({
  doc: 'Moves the server to another host while it runs. For administrators.',
  argument: MigrateLiveArgument,
  handle: async (deps, request, row, argument) => {
    const { host } = argument as { host: string | null };
    checkAllowed('liveMigrate', guarded(row), caller(request));
    await checkTarget(deps, row, host);
    if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
    const flavor = flavorOf(row);
    const input: LiveMigrateInput = {
      availabilityZone: row.availability_zone,
      host,
      imageProperties: imagePropertiesOf(row),
      resources: { vcpus: flavor.vcpus, memoryMib: flavor.memoryMib, diskGib: flavor.diskGib },
      extraSpecs: flavor.extraSpecs,
      from: row.host,
      wasRunning: isRunning(row),
    };
    const move = { uuid: randomUUID(), type: 'live-migration', newFlavor: flavor } as const;
    await accept(deps, request, row, { kind: 'liveMigrate', input, move });
    return {};
  },
});

export const liveMigrationActions: Readonly<Record<string, Action>> = { 'os-migrateLive': migrateLive };
