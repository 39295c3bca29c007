/** Accepting a launch: everything that can be wrong with the request is said now; what is accepted will happen. */
import { randomBytes } from 'node:crypto';
import { type LaunchInput, VERSIONS } from '#contracts/operation-inputs.ts';
import { commitUnique } from '#db/commit-unique.ts';
import { guestFacts } from '#db/repo/guest-facts.ts';
import { insertOperation, type NewOperation } from '#db/repo/operations.ts';
import { addServerToGroup } from '#db/repo/server-groups.ts';
import { insertServers, usageOf } from '#db/repo/servers.ts';
import type { FlavorRow, ServerRow } from '#db/tables/compute.ts';
import { CloudError } from '#domain/errors.ts';
import { hasGuestAgent } from '#domain/instance/instance.ts';
import type { GuestFacts } from '#domain/metadata/facts.ts';
import type { AuthContext } from '#http/auth.ts';
import type { ApiDeps, Quota } from '../api-deps.ts';
import { projectQuota } from '../quotas/project-quota.ts';
import { partsOf } from './config-drive.ts';
import {
  checkPersonality,
  checkUserData,
  countOf,
  imageRefOf,
  placementOf,
  stringProperties,
  usableFlavor,
  usableImage,
  usableKeypair,
} from './create-request.ts';
import { makePorts, networksWanted, securityGroupsWanted } from './networks-wanted.ts';
import { newPassword, rowOf } from './new-server.ts';
import type { CreateServer, SchedulerHints } from './schemas.ts';
import { flavorOf } from './view.ts';

export interface Accepted {
  readonly reservationId: string;
  readonly servers: readonly { readonly id: string; readonly adminPass: string }[];
}

/** Writes servers and operations in one transaction. Throws what is wrong, before anything is written. */
export async function acceptLaunch(
  deps: ApiDeps,
  auth: AuthContext & { readonly projectId: string },
  wanted: CreateServer,
  request: { readonly requestId: string; readonly token: string; readonly hints: SchedulerHints },
): Promise<Accepted> {
  const { db, now } = deps;
  const count = countOf(wanted);
  const flavor = await usableFlavor(deps, auth, String(wanted.flavorRef));
  const image = await usableImage(deps, imageRefOf(wanted), flavor, request.token);
  const keypair = await usableKeypair(deps, auth, wanted.key_name);
  checkUserData(wanted.user_data ?? null);
  checkPersonality(wanted);
  const wishes = await networksWanted(db.queries, auth.projectId, wanted, count.max);
  const groupIds = await securityGroupsWanted(db.queries, auth.projectId, wanted.security_groups);
  const placement = placementOf(wanted, auth);
  const groupId = request.hints.group ?? null;
  const metadataCount = Object.keys(wanted.metadata ?? {}).length;

  const reservationId = `r-${randomBytes(4).toString('hex')}`;
  const createdAt = now();
  const rowAt = (index: number, of: number) =>
    rowOf({ wanted, auth, flavor, image, keypair, reservationId, index, of, createdAt });
  const accept = (row: ServerRow, facts: GuestFacts) => {
    const { nics, configDrive } = partsOf(row, facts);
    const adminPass = wanted.adminPass ?? newPassword();
    const input: LaunchInput = {
      name: row.name,
      imageId: image.id,
      imageProperties: stringProperties(image),
      guestAgent: hasGuestAgent(stringProperties(image)),
      resources: { vcpus: flavor.vcpus, memoryMib: flavor.memory_mib, diskGib: flavor.disk_gib },
      nics,
      ...placement,
      serverGroupId: groupId,
      extraSpecs: flavorOf(row).extraSpecs,
      differentHost: [request.hints.different_host ?? []].flat(),
      sameHost: [request.hints.same_host ?? []].flat(),
      configDrive,
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
  const servers = await commitUnique(db, async (trx) => {
    // Counted where the servers are written: requests at the same moment do not share the last free place.
    const quota = await projectQuota(trx, deps.quota, auth.projectId);
    const joining = { projectId: auth.isAdmin ? null : auth.projectId, maxMembers: quota.serverGroupMembers };
    const granted = checkQuota(quota, await usageOf(trx, auth.projectId), flavor, count, metadataCount);
    const rows = Array.from({ length: granted }, (_, index) => rowAt(index, granted));
    await insertServers(trx, rows);
    for (const { id: serverId, hostname: dnsName } of rows)
      await makePorts(trx, { ...auth, serverId, dnsName }, wishes, groupIds, createdAt);
    const facts = await guestFacts(trx, rows);
    const accepted = rows.map((row) => accept(row, facts.get(row.id) as GuestFacts));
    for (const { row, operation } of accepted) {
      if (groupId !== null) await addServerToGroup(trx, groupId, row.id, joining);
      await insertOperation(trx, operation, createdAt);
    }
    return accepted.map(({ row, operation, adminPass }) => ({ id: row.id, operationId: operation.id, adminPass }));
  });
  deps.announce(servers.map(({ operationId }) => ({ operationId, requestId: request.requestId })));
  return { reservationId, servers };
}

/** How many of `max` the quota allows; less than `min` is refused. */
function checkQuota(
  quota: Quota,
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
