/** The row of a server that has just been asked for. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { FlavorRow, KeypairRow, ServerRow } from '#db/tables/compute.ts';
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import { hostnameOf } from '#domain/instance/instance.ts';
import { POWER_STATES } from '#domain/instance/states.ts';
import { TRANSITIONS } from '#domain/instance/transitions.ts';
import type { AuthContext } from '#http/auth.ts';
import type { ImageRecord } from '#http/image-client.ts';
import { asBoolean } from '../loose-types.ts';
import { stringProperties } from './create-request.ts';
import type { CreateServer } from './schemas.ts';

export function rowOf(parts: {
  wanted: CreateServer;
  auth: AuthContext & { readonly projectId: string };
  flavor: FlavorRow;
  image: ImageRecord;
  keypair: KeypairRow | null;
  reservationId: string;
  index: number;
  of: number;
  createdAt: number;
}): ServerRow {
  const { wanted, auth, flavor, image, keypair, index, createdAt } = parts;
  const id = randomUUID();
  const name = parts.of > 1 ? `${wanted.name}-${index + 1}` : wanted.name;
  const snapshot = flavorSnapshot(flavor);
  return {
    id,
    project_id: auth.projectId,
    user_id: auth.userId,
    name,
    hostname: wanted.hostname ?? hostnameOf(name, id),
    description: wanted.description ?? null,
    image_id: image.id,
    image_properties: JSON.stringify(stringProperties(image)),
    flavor: JSON.stringify(snapshot),
    key_name: keypair?.name ?? null,
    public_key: keypair?.public_key ?? null,
    user_data: wanted.user_data ?? null,
    metadata: JSON.stringify(wanted.metadata ?? {}),
    tags: JSON.stringify(wanted.tags ?? []),
    // The drive is how a guest learns its name and keys as long as there is no network service.
    config_drive:
      wanted.config_drive === undefined || wanted.config_drive === null || asBoolean(wanted.config_drive) ? 1 : 0,
    nics: '[]',
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
    locked_by: null,
    access_ip_v4: wanted.accessIPv4 ?? '',
    access_ip_v6: canonicalIpV6(wanted.accessIPv6 ?? ''),
    disk_config: wanted['OS-DCF:diskConfig'] ?? 'MANUAL',
    operation_id: randomUUID(),
    launched_at: null,
    terminated_at: null,
    shelved_image_id: null,
    shelved_at: null,
    soft_deleted_at: null,
    created_at: createdAt,
    updated_at: createdAt,
    deleted_at: null,
    version: 1,
  };
}

/** The one spelling of RFC 5952; of a text that was checked to be an address, or none. */
export function canonicalIpV6(text: string): string {
  return text === '' ? '' : new URL(`http://[${text}]`).hostname.slice(1, -1);
}

/** Twelve characters that are not mistaken for each other. */
export function newPassword(): string {
  const alphabet = '23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz';
  return Array.from(randomBytes(12), (byte) => alphabet[byte % alphabet.length]).join('');
}

/** The flavor as a server remembers it. */
export function flavorSnapshot(flavor: FlavorRow): FlavorSnapshot {
  return {
    id: flavor.id,
    name: flavor.name,
    vcpus: flavor.vcpus,
    memoryMib: flavor.memory_mib,
    diskGib: flavor.disk_gib,
    ephemeralGib: flavor.ephemeral_gib,
    swapMib: flavor.swap_mib,
    extraSpecs: JSON.parse(flavor.extra_specs),
  };
}
