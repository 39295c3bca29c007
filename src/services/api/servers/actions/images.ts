/** Copies of a server's disk as images: snapshot and backup. */
import { randomUUID } from 'node:crypto';
import { Type } from 'typebox';
import { type BackupInput, RESERVE_IMAGE, type SnapshotInput } from '#contracts/operation-inputs.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { requiresQuiesce } from '#domain/instance/instance.ts';
import type { Answer } from '#http/route.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { looseInteger, Metadata, Name } from '../../loose-types.ts';
import { accept, imagePropertiesOf } from '../accept.ts';
import { flavorOf } from '../view.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const MAX_PROPERTIES = 128;
const strict = { additionalProperties: false };

/** What an operation needs to make an image of the server's disk. */
export function newImageOf(
  row: ServerRow,
  wanted: { readonly name: string; readonly metadata?: Readonly<Record<string, string>>; readonly type: string },
): SnapshotInput {
  if (Object.keys(wanted.metadata ?? {}).length > MAX_PROPERTIES)
    throw new CloudError('forbidden', { reason: `Maximum number of metadata items exceeds ${MAX_PROPERTIES}` });
  const inherited = imagePropertiesOf(row);
  return {
    imageId: randomUUID(),
    name: wanted.name,
    minDiskGib: flavorOf(row).diskGib,
    minRamMib: 0,
    properties: {
      // A server made of it wants to be run as this one is.
      ...inherited,
      ...wanted.metadata,
      base_image_ref: row.image_id,
      image_type: wanted.type,
      instance_uuid: row.id,
      user_id: row.user_id,
      owner_id: row.project_id,
    },
    quiesce: requiresQuiesce(inherited) ? 'required' : 'possible',
  };
}

const createImage = action({
  doc: 'Makes an image of the disk while the server runs on.',
  argument: Type.Object({ name: Name, metadata: Type.Optional(Metadata) }, strict),
  handle: async (deps, request, row, wanted) => {
    const input = newImageOf(row, { ...wanted, type: 'snapshot' });
    const operationId = await accept(deps, request, row, { kind: 'createImage', input });
    return withImage(deps, request, operationId, input.imageId);
  },
});

const createBackup = action({
  doc: 'Makes an image of the disk and keeps only the last few of its type.',
  argument: Type.Object(
    {
      name: Name,
      backup_type: Type.String({ maxLength: 255 }),
      rotation: looseInteger(0),
      metadata: Type.Optional(Metadata),
    },
    strict,
  ),
  handle: async (deps, request, row, wanted) => {
    const image = newImageOf(row, { name: wanted.name, metadata: wanted.metadata ?? {}, type: 'backup' });
    const input: BackupInput = {
      ...image,
      properties: { ...image.properties, backup_type: wanted.backup_type },
      backupType: wanted.backup_type,
      rotation: Number(wanted.rotation),
    };
    const operationId = await accept(deps, request, row, { kind: 'createBackup', input });
    // With a rotation of 0 nothing is kept, so there is nothing to point to.
    if (input.rotation === 0) return {};
    return withImage(deps, request, operationId, input.imageId);
  },
});

/** Clients look at the image as soon as they have the answer, so it must exist by then. */
async function withImage(deps: ApiDeps, request: ActionRequest, operationId: string, imageId: string): Promise<Answer> {
  await deps.conductor.awaitStep({ operationId, step: RESERVE_IMAGE });
  if (request.version >= 45) return { body: { image_id: imageId } };
  return { headers: { location: `${request.base.replace(/\/compute$/, '')}/image/v2/images/${imageId}` } };
}

export const imageActions: Readonly<Record<string, Action>> = { createImage, createBackup };
