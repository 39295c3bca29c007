/**
 * The closed sets of an image's life, spelled as Glance spells them.
 *
 * `killed` exists for clients only: an upload that fails here leaves the image `queued`, so that it can be repeated.
 */

export const DISK_FORMATS = [
  'ami',
  'ari',
  'aki',
  'vhd',
  'vhdx',
  'vmdk',
  'raw',
  'qcow2',
  'vdi',
  'iso',
  'ploop',
] as const;
export type DiskFormat = (typeof DISK_FORMATS)[number];

export const CONTAINER_FORMATS = ['ami', 'ari', 'aki', 'bare', 'ovf', 'ova', 'docker', 'compressed'] as const;
export type ContainerFormat = (typeof CONTAINER_FORMATS)[number];

export const VISIBILITIES = ['public', 'private', 'shared', 'community'] as const;
export type Visibility = (typeof VISIBILITIES)[number];

export const IMAGE_STATUSES = ['queued', 'saving', 'active', 'deactivated', 'killed'] as const;
export type ImageStatus = (typeof IMAGE_STATUSES)[number];

export const MEMBER_STATUSES = ['pending', 'accepted', 'rejected'] as const;
export type MemberStatus = (typeof MEMBER_STATUSES)[number];

/** Containers whose bytes are the disk itself, so that the disk's format can be checked. */
export function holdsDiskItself(container: string | null): boolean {
  return container === 'bare' || container === 'ami' || container === 'ari' || container === 'aki';
}
