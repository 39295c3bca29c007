/** Accepting a launch: everything that can be wrong with the request is said now; what is accepted will happen. */
import { randomBytes, randomUUID } from 'node:crypto';
import { type LaunchInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { findFlavor } from '#db/repo/flavors.ts';
import { findKeypair } from '#db/repo/keypairs.ts';
import { insertOperation, type NewOperation } from '#db/repo/operations.ts';
import { insertServers, usageOf } from '#db/repo/servers.ts';
import type { FlavorRow, KeypairRow, ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import { hostnameOf } from '#domain/instance/instance.ts';
import { POWER_STATES, TRANSITIONS } from '#domain/instance/states.ts';
import type { AuthContext } from '#http/auth.ts';
import type { ImageRecord } from '#http/image-client.ts';
import type { ApiDeps } from '../api-deps.ts';
import { asBoolean } from '../loose-types.ts';
import { configDriveFiles } from './config-drive.ts';
import type { CreateServer } from './schemas.ts';

export interface Accepted {
  readonly reservationId: string;
  readonly servers: readonly { readonly id: string; readonly adminPass: string }[];
}

const GIB = 2 ** 30;

/** Writes servers and operations in one transaction. Throws what is wrong, before anything is written. */
export async function acceptLaunch(
  deps: ApiDeps,
  auth: AuthContext & { readonly projectId: string },
  wanted: CreateServer,
  request: { readonly requestId: string; readonly token: string },
): Promise<Accepted> {
  const { db, now } = deps;
  const count = countOf(wanted);
  const flavor = await usableFlavor(deps, auth, String(wanted.flavorRef));
  const image = await usableImage(deps, imageRefOf(wanted), flavor, request.token);
  const keypair = await usableKeypair(deps, auth, wanted.key_name);
  checkUserData(wanted.user_data ?? null);
  const nics = nicsOf(wanted);
  const placement = placementOf(wanted, auth);
  const metadataCount = Object.keys(wanted.metadata ?? {}).length;

  const reservationId = `r-${randomBytes(4).toString('hex')}`;
  const createdAt = now();
  const accept = (index: number, of: number) => {
    const row = rowOf({
      wanted,
      auth,
      flavor,
      image,
      keypair,
      nics: nics.map(() => ({ mac: newMac() })),
      reservationId,
      index,
      of,
      createdAt,
    });
    const adminPass = wanted.adminPass ?? newPassword();
    const input: LaunchInput = {
      name: row.name,
      imageId: image.id,
      imageProperties: stringProperties(image),
      resources: { vcpus: flavor.vcpus, memoryMib: flavor.memory_mib, diskGib: flavor.disk_gib },
      nics: JSON.parse(row.nics),
      ...placement,
      configDrive: configDriveFiles(row),
    };
    const operation: NewOperation = {
      id: row.operation_id ?? '',
      kind: 'create',
      version: VERSIONS.create,
      serverId: row.id,
      projectId: auth.projectId,
      userId: auth.userId,
      requestId: request.requestId,
      input,
      secrets: { adminPass },
    };
    return { row, operation, adminPass };
  };
  const servers = await db.transaction(async (trx) => {
    // Counted where the servers are written: requests at the same moment do not share the last free place.
    const granted = checkQuota(deps, await usageOf(trx, auth.projectId), flavor, count, metadataCount);
    const accepted = Array.from({ length: granted }, (_, index) => accept(index, granted));
    await insertServers(
      trx,
      accepted.map(({ row }) => row),
    );
    for (const { operation } of accepted) await insertOperation(trx, operation, createdAt);
    return accepted.map(({ row, adminPass }) => ({ id: row.id, adminPass }));
  });
  deps.wakeOutbox();
  return { reservationId, servers };
}

function countOf(wanted: CreateServer): { min: number; max: number } {
  const min = Number(wanted.min_count ?? 1);
  const max = Number(wanted.max_count ?? wanted.min_count ?? 1);
  if (min > max) throw new CloudError('badRequest', { reason: 'min_count must be <= max_count' });
  if (max > 1000) throw new CloudError('badRequest', { reason: 'max_count must be <= 1000' });
  return { min, max };
}

async function usableFlavor(deps: ApiDeps, auth: AuthContext, id: string): Promise<FlavorRow> {
  const flavor = await findFlavor(deps.db.queries, id, auth.isAdmin ? null : auth.projectId);
  if (!flavor || flavor.disabled === 1)
    throw new CloudError('badRequest', { reason: `Flavor ${id} could not be found.` });
  return flavor;
}

/** `--image` of the `openstack` command comes as a block device; other block devices need a volume service. */
function imageRefOf(wanted: CreateServer): string {
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

async function usableImage(deps: ApiDeps, id: string, flavor: FlavorRow, token: string): Promise<ImageRecord> {
  const image = await deps.images.find(id, token);
  if (!image) throw new CloudError('badRequest', { reason: `Image ${id} could not be found.` });
  if (image.status !== 'active') throw new CloudError('badRequest', { reason: `Image ${id} is not active.` });
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

async function usableKeypair(deps: ApiDeps, auth: AuthContext, name: string | undefined): Promise<KeypairRow | null> {
  if (name === undefined) return null;
  const keypair = await findKeypair(deps.db.queries, auth.userId, name);
  if (!keypair) throw new CloudError('badRequest', { reason: 'Invalid key_name provided.' });
  return keypair;
}

function checkUserData(userData: string | null): void {
  const isBase64 =
    userData === null || (/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(userData) && userData.replace(/\s/g, '').length % 4 === 0);
  if (!isBase64) throw new CloudError('badRequest', { reason: 'User data needs to be valid base 64.' });
}

/** One user-mode card unless none is wanted: there is no network service to attach to. */
function nicsOf({ networks, security_groups: groups, personality }: CreateServer): readonly unknown[] {
  if ((personality ?? []).length > 0)
    throw new CloudError('badRequest', { reason: 'Personality files are not offered; use user_data.' });
  const unknown = groups?.find(({ name }) => name !== 'default');
  if (unknown) throw new CloudError('badRequest', { reason: `Security group ${unknown.name} not found for project.` });
  if (networks === 'none') return [];
  if (networks === undefined || networks === 'auto' || networks.length === 0) return [null];
  const [first] = networks;
  throw new CloudError('badRequest', { reason: `Network ${first?.uuid ?? first?.port} could not be found.` });
}

/** The wish for a zone (`zone` or, for an administrator, `zone:host`) and for a host. */
function placementOf(
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

/** How many of `max` the quota allows; less than `min` is refused. */
function checkQuota(
  { quota }: ApiDeps,
  usage: { instances: number; vcpus: number; memoryMib: number },
  flavor: FlavorRow,
  { min, max }: { min: number; max: number },
  metadataItems: number,
): number {
  if (quota.metadataItems >= 0 && metadataItems > quota.metadataItems) {
    throw new CloudError('forbidden', { reason: `Maximum number of metadata items exceeds ${quota.metadataItems}` });
  }
  const room = (limit: number, used: number, each: number) =>
    limit < 0 || each === 0 ? max : Math.floor((limit - used) / each);
  const resources = [
    { name: 'instances', limit: quota.instances, used: usage.instances, each: 1 },
    { name: 'cores', limit: quota.cores, used: usage.vcpus, each: flavor.vcpus },
    { name: 'ram', limit: quota.ramMib, used: usage.memoryMib, each: flavor.memory_mib },
  ];
  for (const { name, limit, used, each } of resources) {
    if (room(limit, used, each) < min)
      throw new CloudError('quotaExceeded', { resource: name, asked: min * each, used, limit });
  }
  return Math.min(max, ...resources.map(({ limit, used, each }) => room(limit, used, each)));
}

function rowOf(parts: {
  wanted: CreateServer;
  auth: AuthContext & { readonly projectId: string };
  flavor: FlavorRow;
  image: ImageRecord;
  keypair: KeypairRow | null;
  nics: readonly { mac: string }[];
  reservationId: string;
  index: number;
  of: number;
  createdAt: number;
}): ServerRow {
  const { wanted, auth, flavor, image, keypair, index, createdAt } = parts;
  const id = randomUUID();
  const name = parts.of > 1 ? `${wanted.name}-${index + 1}` : wanted.name;
  const snapshot: FlavorSnapshot = {
    id: flavor.id,
    name: flavor.name,
    vcpus: flavor.vcpus,
    memoryMib: flavor.memory_mib,
    diskGib: flavor.disk_gib,
    ephemeralGib: flavor.ephemeral_gib,
    swapMib: flavor.swap_mib,
    extraSpecs: JSON.parse(flavor.extra_specs),
  };
  return {
    id,
    project_id: auth.projectId,
    user_id: auth.userId,
    name,
    hostname: wanted.hostname ?? hostnameOf(name, id),
    description: wanted.description ?? null,
    image_id: image.id,
    flavor: JSON.stringify(snapshot),
    key_name: keypair?.name ?? null,
    public_key: keypair?.public_key ?? null,
    user_data: wanted.user_data ?? null,
    metadata: JSON.stringify(wanted.metadata ?? {}),
    tags: JSON.stringify(wanted.tags ?? []),
    // The drive is how a guest learns its name and keys as long as there is no network service.
    config_drive:
      wanted.config_drive === undefined || wanted.config_drive === null || asBoolean(wanted.config_drive) ? 1 : 0,
    nics: JSON.stringify(parts.nics),
    availability_zone: null,
    host: null,
    reservation_id: parts.reservationId,
    launch_index: index,
    vm_state: 'building',
    task_state: TRANSITIONS.create.tasks[0],
    power_state: POWER_STATES.none,
    progress: 0,
    fault: null,
    locked: 0,
    locked_reason: null,
    access_ip_v4: wanted.accessIPv4 ?? '',
    access_ip_v6: wanted.accessIPv6 ?? '',
    disk_config: wanted['OS-DCF:diskConfig'] ?? 'MANUAL',
    operation_id: randomUUID(),
    launched_at: null,
    terminated_at: null,
    created_at: createdAt,
    updated_at: createdAt,
    deleted_at: null,
    version: 1,
  };
}

/** An address of the range that OpenStack uses. */
function newMac(): string {
  return ['fa', '16', '3e', ...(randomBytes(3).toString('hex').match(/../g) ?? [])].join(':');
}

/** Twelve characters that are not mistaken for each other. */
function newPassword(): string {
  const alphabet = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz';
  return Array.from(randomBytes(12), (byte) => alphabet[byte % alphabet.length]).join('');
}

function stringProperties(image: ImageRecord): Record<string, string> {
  return Object.fromEntries(
    Object.entries(image).filter(
      (entry): entry is [string, string] =>
        /^(hw_|os_|img_|architecture|hypervisor_type)/.test(entry[0]) && typeof entry[1] === 'string',
    ),
  );
}
