/** Shelve, offload, unshelve. */
import { type TSchema, Type } from 'typebox';
import type { ShelveInput, UnshelveInput } from '#contracts/operation-inputs.ts';
import { CloudError } from '#domain/errors.ts';
import { hasGuestAgent } from '#domain/instance/instance.ts';
import { checkAllowed } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { Versioned } from '#http/route.ts';
import { Name } from '../../loose-types.ts';
import { accept, graceMsOf, guarded, imagePropertiesOf, isRunning } from '../accept.ts';
import { guestParts } from '../config-drive.ts';
import { flavorOf } from '../view.ts';
import { type Action, action } from './action.ts';
import { newImageOf } from './images.ts';

const strict = { additionalProperties: false };

const shelve = action({
  doc: 'Keeps the disk as an image and frees the host.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    const input: ShelveInput = {
      ...newImageOf(row, { name: `${row.name}-shelved`, type: 'snapshot' }),
      graceMs: graceMsOf(deps, row),
      wasRunning: isRunning(row),
      offload: deps.lifecycle.offloadsAtOnce,
    };
    await accept(deps, request, row, { kind: 'shelve', input });
    return {};
  },
});

const shelveOffload = action({
  doc: 'Takes a shelved server off its host; for administrators.',
  argument: Type.Unknown(),
  handle: async (deps, request, row) => {
    await accept(deps, request, row, { kind: 'shelveOffload' });
    return {};
  },
});

const Zone = { availability_zone: Type.Optional(Type.Union([Name, Type.Null()])) };

const UnshelveArgument: Versioned<TSchema> = [
  { from: 1, schema: Type.Unknown() },
  { from: 77, schema: Type.Union([Type.Null(), Type.Object(Zone, strict)]) },
  { from: 91, schema: Type.Union([Type.Null(), Type.Object({ ...Zone, host: Type.Optional(Name) }, strict)]) },
];

const unshelve = action({
  doc: 'Brings a shelved server back.',
  argument: UnshelveArgument,
  handle: async (deps, request, row, argument) => {
    const wanted =
      request.version >= 77 ? ((argument ?? {}) as { availability_zone?: string | null; host?: string }) : {};
    checkAllowed('unshelve', guarded(row), caller(request));
    const imageId = row.shelved_image_id;
    if (imageId === null) throw new CloudError('conflict', { reason: `Server ${row.id} has no shelved image.` });
    const isOffloaded = row.vm_state === 'shelved_offloaded';
    if (wanted.availability_zone && !isOffloaded) {
      throw new CloudError('conflict', {
        reason: `Server ${row.id} must be SHELVED_OFFLOADED to be unshelved to an availability zone.`,
      });
    }
    if (wanted.host !== undefined && !caller(request).isAdmin)
      throw new CloudError('policyForbids', { rule: 'os_compute_api:os-shelve:unshelve_to_host' });
    const flavor = flavorOf(row);
    const imageProperties = imagePropertiesOf(row);
    const { nics, configDrive } = await guestParts(deps.db.queries, row);
    const input: UnshelveInput = {
      name: row.name,
      imageId,
      imageProperties,
      resources: { vcpus: flavor.vcpus, memoryMib: flavor.memoryMib, diskGib: flavor.diskGib },
      nics,
      configDrive,
      guestAgent: hasGuestAgent(imageProperties),
      availabilityZone: wanted.availability_zone ?? null,
      host: wanted.host ?? null,
      extraSpecs: flavor.extraSpecs,
      isOffloaded,
    };
    await accept(deps, request, row, { kind: 'unshelve', input });
    return {};
  },
});

export const shelveActions: Readonly<Record<string, Action>> = { shelve, shelveOffload, unshelve };
