/** Evacuate: a server of a dead host lives again on another. */
import { randomUUID } from 'node:crypto';
import { type TProperties, type TSchema, Type } from 'typebox';
import type { EvacuateInput } from '#contracts/operation-inputs.ts';
import { ADMIN_PASS } from '#contracts/operation-inputs.ts';
import { findHost, isUp } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';
import { hasGuestAgent } from '#domain/instance/instance.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { Versioned } from '#http/route.ts';
import { LooseBoolean, Name } from '../../loose-types.ts';
import { accept, guarded, imagePropertiesOf } from '../accept.ts';
import { guestParts } from '../config-drive.ts';
import { newPassword } from '../new-server.ts';
import { flavorOf } from '../view.ts';
import { type Action, action } from './action.ts';
import { checkTarget } from './moves.ts';

const body = (properties: TProperties): TSchema =>
  Type.Object(
    {
      host: Type.Optional(Name),
      adminPass: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
      ...properties,
    },
    { additionalProperties: false },
  );

const EvacuateArgument: Versioned<TSchema> = [
  { from: 1, schema: body({ onSharedStorage: LooseBoolean }) },
  { from: 14, schema: body({}) },
  { from: 29, schema: body({ force: Type.Optional(LooseBoolean) }) },
  { from: 68, schema: body({}) },
];

const evacuate = action({
  doc: 'Lets a server whose host is dead live again on another, from its image. For administrators.',
  argument: EvacuateArgument,
  handle: async (deps, request, row, argument) => {
    const wanted = argument as { host?: string; adminPass?: string };
    checkAllowed('evacuate', guarded(row), caller(request));
    if (row.host === null) throw new CloudError('instanceNotReady', { id: row.id });
    await checkTarget(deps, row, wanted.host ?? null);
    const from = await findHost(deps.db.queries, row.host);
    if (from && isUp(from, deps.now()))
      throw new CloudError('badRequest', { reason: `Compute service of ${row.host} is still in use.` });
    const flavor = flavorOf(row);
    const imageProperties = imagePropertiesOf(row);
    const { nics, configDrive } = await guestParts(deps.db.queries, row);
    const adminPass = wanted.adminPass ?? newPassword();
    const input: EvacuateInput = {
      name: row.name,
      imageId: row.image_id,
      imageProperties,
      resources: { vcpus: flavor.vcpus, memoryMib: flavor.memoryMib, diskGib: flavor.diskGib },
      nics,
      configDrive,
      guestAgent: hasGuestAgent(imageProperties),
      availabilityZone: row.availability_zone,
      host: wanted.host ?? null,
      extraSpecs: flavor.extraSpecs,
      from: row.host,
      run: row.vm_state !== 'stopped',
    };
    const move = { uuid: randomUUID(), type: 'evacuation', newFlavor: flavor } as const;
    await accept(deps, request, row, { kind: 'evacuate', input, secrets: { [ADMIN_PASS]: adminPass }, move });
    return { status: 200, ...(request.version < 14 && { body: { adminPass } }) };
  },
});

export const evacuateActions: Readonly<Record<string, Action>> = { evacuate };
