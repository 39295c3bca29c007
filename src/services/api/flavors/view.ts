/** A flavor as the API shows it, key by key with the microversion that brought it. */
import type { FlavorRow } from '#db/tables/compute.ts';

export function flavorView(row: FlavorRow, version: number, base: string): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    ram: row.memory_mib,
    disk: row.disk_gib,
    vcpus: row.vcpus,
    // Until 2.75 no swap is an empty text.
    swap: row.swap_mib === 0 && version < 75 ? '' : row.swap_mib,
    'OS-FLV-EXT-DATA:ephemeral': row.ephemeral_gib,
    'OS-FLV-DISABLED:disabled': row.disabled === 1,
    'os-flavor-access:is_public': row.is_public === 1,
    rxtx_factor: row.rxtx_factor,
    links: flavorLinks(row.id, base),
    ...(version >= 55 && { description: row.description }),
    ...(version >= 61 && { extra_specs: JSON.parse(row.extra_specs) }),
  };
}

export function flavorSummary(row: FlavorRow, version: number, base: string): Record<string, unknown> {
  return {
    id: row.id,
    name: row.name,
    links: flavorLinks(row.id, base),
    ...(version >= 55 && { description: row.description }),
  };
}

export function flavorLinks(id: string, base: string) {
  return [
    { rel: 'self', href: `${base}/v2.1/flavors/${id}` },
    { rel: 'bookmark', href: `${base}/flavors/${id}` },
  ];
}
