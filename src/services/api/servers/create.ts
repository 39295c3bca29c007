/** Accepting a launch: everything that can be wrong with the request is said now; what is accepted will happen. */
import { randomBytes } from 'node:crypto';
import { type LaunchInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { insertOperation, type NewOperation } from '#db/repo/operations.ts';
import { insertServers, usageOf } from '#db/repo/servers.ts';
import type { FlavorRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import type { AuthContext } from '#http/auth.ts';
import type { ApiDeps } from '../api-deps.ts';
import { configDriveFiles } from './config-drive.ts';
import {
  checkUserData,
  countOf,
  imageRefOf,
  nicsOf,
  placementOf,
  stringProperties,
  usableFlavor,
  usableImage,
  usableKeypair,
} from './create-request.ts';
import { newMac, newPassword, rowOf } from './new-server.ts';
import type { CreateServer } from './schemas.ts';

export interface Accepted {
  readonly reservationId: string;
  readonly servers: readonly { readonly id: string; readonly adminPass: string }[];
}

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
  const servers = await db.commit(async (trx) => {
    // Counted where the servers are written: requests at the same moment do not share the last free place.
    const granted = checkQuota(deps, await usageOf(trx, auth.projectId), flavor, count, metadataCount);
    const accepted = Array.from({ length: granted }, (_, index) => accept(index, granted));
    await insertServers(
      trx,
      accepted.map(({ row }) => row),
    );
    for (const { operation } of accepted) await insertOperation(trx, operation, createdAt);
    return accepted.map(({ row, operation, adminPass }) => ({ id: row.id, operationId: operation.id, adminPass }));
  });
  deps.announce(servers.map(({ operationId }) => ({ operationId, requestId: request.requestId })));
  return { reservationId, servers };
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
