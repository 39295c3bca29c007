/** Rebuild: a new root disk under the same server. */
import { ADMIN_PASS, type RebuildInput } from '#contracts/operation-inputs.ts';
import { groupIdOf } from '#db/repo/server-groups.ts';
import { changedColumns } from '#db/repo/servers.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import { hasGuestAgent, type ServerChanges } from '#domain/instance/instance.ts';
import { TRANSITIONS } from '#domain/instance/transitions.ts';
import { caller } from '#http/auth.ts';
import type { ApiDeps } from '../../api-deps.ts';
import { accept, graceMsOf, isRunning } from '../accept.ts';
import { guestParts } from '../config-drive.ts';
import { checkUserData, stringProperties, usableImage, usableKeypair } from '../create-request.ts';
import { canonicalIpV6, newPassword } from '../new-server.ts';
import { REBUILD_SERVER, type RebuildServer } from '../schemas.ts';
import { serverNetworks } from '../server-networks.ts';
import { flavorOf, serverView } from '../view.ts';
import { type Action, type ActionRequest, action } from './action.ts';

const rebuild = action({
  doc: 'Replaces the root disk by an image; id, ports, addresses, flavor and host stay.',
  argument: REBUILD_SERVER,
  handle: async (deps, request, row, argument) => {
    // Of the schema in force at the request's version.
    const wanted = argument as RebuildServer;
    const token = String(request.raw.headers['x-auth-token']);
    const flavor = flavorOf(row);
    const image = await usableImage(
      deps,
      wanted.imageRef,
      { disk_gib: flavor.diskGib, memory_mib: flavor.memoryMib },
      token,
    );
    checkUserData(wanted.user_data ?? null);
    const imageProperties = stringProperties(image);
    const changes: ServerChanges = {
      ...(await changesOf(deps, request, wanted)),
      imageId: image.id,
      imageProperties,
    };
    const after: ServerRow = { ...row, ...changedColumns(changes) };
    const adminPass = wanted.adminPass ?? newPassword();
    const input: RebuildInput = {
      graceMs: graceMsOf(deps, row),
      wasRunning: isRunning(row),
      run: row.vm_state !== 'stopped',
      imageId: image.id,
      diskGib: flavor.diskGib,
      configDrive: (await guestParts(deps.db.queries, after)).configDrive,
      guestAgent: hasGuestAgent(imageProperties),
      changes,
    };
    await accept(deps, request, row, { kind: 'rebuild', input, secrets: { [ADMIN_PASS]: adminPass } });
    const groupId = request.version >= 71 ? await groupIdOf(deps.db.queries, row.id) : null;
    const networks = (await serverNetworks(deps.db.queries, [row.id]))(row.id);
    const viewer = {
      version: request.version,
      isAdmin: caller(request).isAdmin,
      base: request.base,
      groupId,
      networks,
    };
    const shown = serverView({ ...after, task_state: TRANSITIONS.rebuild.tasks[0] }, viewer, {
      single: true,
      afterUpdate: true,
    });
    return {
      body: {
        server: {
          ...shown,
          adminPass,
          ...(request.version >= 54 && { key_name: after.key_name }),
          ...(request.version >= 57 && { user_data: after.user_data }),
        },
      },
    };
  },
});

/** What the request changes beside the disk. */
async function changesOf(deps: ApiDeps, request: ActionRequest, wanted: RebuildServer): Promise<ServerChanges> {
  const keypair =
    typeof wanted.key_name === 'string' ? await usableKeypair(deps, caller(request), wanted.key_name) : wanted.key_name;
  return {
    ...(wanted.name !== undefined && { name: wanted.name }),
    ...(wanted.hostname !== undefined && { hostname: wanted.hostname }),
    ...(wanted.description !== undefined && { description: wanted.description }),
    ...(wanted.metadata !== undefined && { metadata: wanted.metadata }),
    ...(keypair !== undefined && { keyName: keypair?.name ?? null, publicKey: keypair?.public_key ?? null }),
    ...(wanted.user_data !== undefined && { userData: wanted.user_data }),
    ...(wanted['OS-DCF:diskConfig'] !== undefined && { diskConfig: wanted['OS-DCF:diskConfig'] }),
    ...(wanted.accessIPv4 !== undefined && { accessIpV4: wanted.accessIPv4 ?? '' }),
    ...(wanted.accessIPv6 !== undefined && { accessIpV6: canonicalIpV6(wanted.accessIPv6 ?? '') }),
  };
}

export const rebuildActions: Readonly<Record<string, Action>> = { rebuild };
