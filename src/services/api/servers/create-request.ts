/** What a create request asks for, checked against what there is: flavor, image, key pair, cards, place. */
import { findFlavor } from '#db/repo/flavors.ts';
import { findKeypair } from '#db/repo/keypairs.ts';
import type { FlavorRow, KeypairRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { AuthContext } from '#http/auth.ts';
import type { ImageRecord } from '#http/image-client.ts';
import type { ApiDeps } from '../api-deps.ts';
import type { CreateServer } from './schemas.ts';

const GIB = 2 ** 30;

export function countOf(wanted: CreateServer): { min: number; max: number } {
  const min = Number(wanted.min_count ?? 1);
  const max = Number(wanted.max_count ?? wanted.min_count ?? 1);
  if (min > max) throw new CloudError('badRequest', { reason: 'min_count must be <= max_count' });
  if (max > 1000) throw new CloudError('badRequest', { reason: 'max_count must be <= 1000' });
  return { min, max };
}

export async function usableFlavor(deps: ApiDeps, auth: AuthContext, id: string): Promise<FlavorRow> {
  const flavor = await findFlavor(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
  if (!flavor || flavor.disabled === 1)
    throw new CloudError('badRequest', { reason: `Flavor ${id} could not be found.` });
  return flavor;
}

/** `--image` of the `openstack` command comes as a block device; other block devices need a volume service. */
export function imageRefOf(wanted: CreateServer): string {
  if ((wanted.block_device_mapping ?? []).length > 0) throw noVolumes();
  const devices = wanted.block_device_mapping_v2 ?? [];
  for (const device of devices) {
    const isRootImage =
      device.source_type === 'image' &&
      (device.destination_type ?? 'local') === 'local' &&
      Number(device.boot_index ?? 0) === 0;
    if (!isRootImage) throw noVolumes();
  }
  const id = wanted.imageRef || devices[0]?.uuid;
  if (!id) throw new CloudError('badRequest', { reason: 'Invalid imageRef provided. Give the image to boot from.' });
  if (devices.length > 1 || (wanted.imageRef && devices[0] && devices[0].uuid !== wanted.imageRef)) {
    throw new CloudError('badRequest', {
      reason:
        'Block Device Mapping is Invalid: Boot sequence for the instance and image/block device mapping combination is not valid.',
    });
  }
  return id;
}

function noVolumes(): CloudError {
  return new CloudError('badRequest', {
    reason: 'Block Device Mapping is Invalid: this cloud has no volume service; boot from an image.',
  });
}

/** Throws 400 for an image that cannot be booted, or not in this much memory and disk (null: whatever it needs). */
export async function usableImage(
  deps: ApiDeps,
  id: string,
  flavor: Pick<FlavorRow, 'memory_mib' | 'disk_gib'> | null,
  token: string,
): Promise<ImageRecord> {
  const image = await deps.images.find(id, token);
  if (!image) throw new CloudError('badRequest', { reason: `Image ${id} could not be found.` });
  if (image.status !== 'active') throw new CloudError('badRequest', { reason: `Image ${id} is not active.` });
  if (!flavor) return image;
  if (image.min_ram > flavor.memory_mib)
    throw new CloudError('badRequest', { reason: "Flavor's memory is too small for requested image." });
  if (flavor.disk_gib > 0) {
    const needed = Math.max(image.min_disk * GIB, image.virtual_size ?? image.size ?? 0);
    if (needed > flavor.disk_gib * GIB) {
      throw new CloudError('badRequest', {
        reason: `Flavor's disk is too small for requested image. Flavor disk is ${flavor.disk_gib * GIB} bytes, image is ${needed} bytes.`,
      });
    }
  }
  return image;
}

export async function usableKeypair(
  deps: ApiDeps,
  auth: AuthContext,
  name: string | undefined,
): Promise<KeypairRow | null> {
  if (name === undefined) return null;
  const keypair = await findKeypair(deps.db.queries, auth.userId, name);
  if (!keypair) throw new CloudError('badRequest', { reason: 'Invalid key_name provided.' });
  return keypair;
}

export function checkUserData(userData: string | null): void {
  const isBase64 =
    userData === null || (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(userData) && userData.replace(/\s/g, '').length % 4 === 0);
  if (!isBase64) throw new CloudError('badRequest', { reason: 'User data needs to be valid base 64.' });
}

/** Throws 400 for files that are to be put into the disk: nobody opens a guest's disk here. */
export function checkPersonality({ personality }: CreateServer): void {
  if ((personality ?? []).length > 0)
    throw new CloudError('badRequest', { reason: 'Personality files are not offered; use user_data.' });
}

/** The wish for a zone (`zone` or, for an administrator, `zone:host`) and for a host. */
export function placementOf(
  wanted: CreateServer,
  auth: AuthContext,
): { availabilityZone: string | null; host: string | null } {
  const [zone, forcedHost, ...rest] = (wanted.availability_zone ?? '').split(':');
  if (rest.length > 1)
    throw new CloudError('badRequest', { reason: 'Unable to parse the specified availability_zone.' });
  const host = wanted.host ?? wanted.hypervisor_hostname ?? (forcedHost || null);
  if (host !== null && !auth.isAdmin)
    throw new CloudError('policyForbids', { rule: 'os_compute_api:servers:create:forced_host' });
  return { availabilityZone: zone || null, host };
}

/** What an image says about how it wants to be run; Glance's own `os_hash_…` and `os_hidden` are not that. */
export function stringProperties(image: ImageRecord): Record<string, string> {
  return Object.fromEntries(
    Object.entries(image).filter(
      (entry): entry is [string, string] =>
        /^(hw_|os_(?!h)|img_|architecture|hypervisor_type)/.test(entry[0]) && typeof entry[1] === 'string',
    ),
  );
}
