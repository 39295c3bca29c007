/** How much of a compute service a project may have; key pairs are per user. */

/** Nova's names. */
export const COMPUTE_RESOURCES = [
  'instances',
  'cores',
  'ram',
  'metadata_items',
  'key_pairs',
  'server_groups',
  'server_group_members',
] as const;
export type ComputeResource = (typeof COMPUTE_RESOURCES)[number];

/** -1 is no limit; memory in MiB. */
export type ComputeLimits = Readonly<Record<ComputeResource, number>>;
