/**
 * What a backup says of itself. A backup is a folder: `manifest.json`, which is written last, so that a folder without one is no backup;
 * `record.jsonl.gz`, a line per row; `images/<id>`; and `clouds.yaml` with the passwords. Only its owner can read it: it holds the keys
 * of the cloud and what is on its disks.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Static, Type } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { problemsOf } from '#schema/check.ts';

export const FILES = {
  manifest: 'manifest.json',
  record: 'record.jsonl.gz',
  images: 'images',
  credentials: 'clouds.yaml',
} as const;

const UUID = Type.String({ format: 'uuid' });

const ManifestSchema = Type.Object({
  format: Type.Literal(1),
  /** The last migration of the record's schema. */
  schema: Type.String(),
  takenAt: Type.String({ format: 'date-time' }),
  /** The images that were made of servers’ disks for this backup. */
  disks: Type.Array(Type.Object({ server: UUID, image: UUID })),
  /** The images whose bytes are here. */
  images: Type.Array(Type.Object({ id: UUID, bytes: Type.Integer({ minimum: 0 }), sha512: Type.String() })),
});

export type Manifest = Static<typeof ManifestSchema>;

/** Reads it. Throws `badRequest` for a folder that is no backup, or one of a format that is not known here. */
export async function readManifest(dir: string): Promise<Manifest> {
  const path = join(dir, FILES.manifest);
  let manifest: unknown;
  try {
    manifest = JSON.parse(await readFile(path, 'utf8'));
  } catch (cause) {
    const reason = `${dir} is not a whole backup: its ${FILES.manifest} cannot be read (${(cause as Error).message}).`;
    throw new CloudError('badRequest', { reason }, { cause });
  }
  const [problem] = problemsOf(ManifestSchema, manifest);
  if (problem)
    throw new CloudError('badRequest', { reason: `${path}: ${problem.instancePath || 'it'} ${problem.message}` });
  return manifest as Manifest;
}
