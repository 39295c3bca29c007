/** The compute tables: flavors, key pairs, servers, hosts and what servers hold of them. Times are epoch ms. */
import type { ComputeResource } from '#domain/compute-quota.ts';
import type { TaskState, VmState } from '#domain/instance/states.ts';

export interface FlavorRow {
  id: string;
  name: string;
  vcpus: number;
  memory_mib: number;
  disk_gib: number;
  ephemeral_gib: number;
  swap_mib: number;
  rxtx_factor: number;
  is_public: number;
  disabled: number;
  description: string | null;
  /** JSON object of strings. */
  extra_specs: string;
  created_at: number;
}

export interface FlavorAccessRow {
  flavor_id: string;
  project_id: string;
}

export interface KeypairRow {
  user_id: string;
  name: string;
  type: 'ssh' | 'x509';
  public_key: string;
  fingerprint: string;
  created_at: number;
}

export interface ServerRow {
  id: string;
  project_id: string;
  user_id: string;
  name: string;
  hostname: string;
  description: string | null;
  /** The image it was booted from; the row outlives the image. */
  image_id: string;
  /** JSON object of strings: what that image says about how it wants to be run (`hw_…`, `os_…`). */
  image_properties: string;
  /** JSON, `FlavorSnapshot`: the flavor as it was at launch. */
  flavor: string;
  key_name: string | null;
  public_key: string | null;
  /** Base64 as the client gave it. */
  user_data: string | null;
  /** JSON object of strings. */
  metadata: string;
  /** JSON array of strings. */
  tags: string;
  config_drive: number;
  /** JSON array of `GuestNic`. */
  nics: string;
  availability_zone: string | null;
  host: string | null;
  reservation_id: string;
  launch_index: number;
  vm_state: VmState;
  task_state: TaskState | null;
  power_state: number;
  progress: number;
  /** JSON, `Fault`, while something went wrong. */
  fault: string | null;
  locked: number;
  locked_reason: string | null;
  /** Whose lock it is; an owner cannot undo an administrator's. */
  locked_by: 'owner' | 'admin' | null;
  access_ip_v4: string;
  access_ip_v6: string;
  disk_config: 'AUTO' | 'MANUAL';
  /** The operation that may change the state now; null when none is in flight. */
  operation_id: string | null;
  launched_at: number | null;
  terminated_at: number | null;
  created_at: number;
  updated_at: number;
  /** The image that holds its disk while it is shelved. */
  shelved_image_id: string | null;
  shelved_at: number | null;
  soft_deleted_at: number | null;
  /** Set when deleted; the row stays for the record of actions. */
  deleted_at: number | null;
  /** Counts every change, so that a rendered server can be cached by it. */
  version: number;
}

export interface HostRow {
  id: string;
  /** Counts up over hosts and services; what the API of older microversions calls it. */
  number: number;
  name: string;
  availability_zone: string;
  enabled: number;
  disabled_reason: string | null;
  vcpus: number;
  memory_mib: number;
  disk_gib: number;
  hypervisor_type: string;
  hypervisor_version: number;
  cpu_model: string;
  cpu_arch: string;
  /** Where other hosts reach it; empty where its agent did not say. */
  address: string;
  /** How it runs networks; `none`: each of its guests is alone. */
  network_kind: 'rooted' | 'rootless' | 'none';
  /** Where other hosts' tunnels to it end; empty: it has none. */
  network_address: string;
  /** When the machine began to run; null where its agent did not say. */
  booted_at: number | null;
  contract_version: number;
  /** The last heartbeat. */
  seen_at: number;
  created_at: number;
  /** An operator says that it is dead, whatever its agent says. */
  forced_down: number;
  /** Changes with every claim, so that two schedulers cannot book the same room. */
  generation: number;
}

/** What a server holds of a host. Usage is the sum of these rows; no counter is kept anywhere. */
export interface AllocationRow {
  server_id: string;
  /** `migration`: on the host that a move left, until it is known that there is no way back. */
  held_for: 'server' | 'migration';
  host: string;
  vcpus: number;
  memory_mib: number;
  disk_gib: number;
  created_at: number;
}

export interface ServerGroupRow {
  id: string;
  project_id: string;
  user_id: string;
  name: string;
  policy: 'affinity' | 'anti-affinity' | 'soft-affinity' | 'soft-anti-affinity';
  /** JSON object, `{max_server_per_host}` for anti-affinity. */
  rules: string;
  created_at: number;
}

/** A server is in one group for life; one that was deleted is no member any more. */
export interface ServerGroupMemberRow {
  server_id: string;
  group_id: string;
}

/** Nova's words; a live migration is `running` where a cold one is `migrating`. */
export const MIGRATION_STATUSES = [
  'accepted',
  'preparing',
  'pre-migrating',
  'migrating',
  'running',
  'post-migrating',
  'finished',
  'confirming',
  'confirmed',
  'reverting',
  'reverted',
  'completed',
  'done',
  'cancelled',
  'error',
] as const;
export type MigrationStatus = (typeof MIGRATION_STATUSES)[number];

/** A move of a server: to another host, another flavor, or both. */
export interface ServerMigrationRow {
  /** Counts up; what the API of older microversions calls it. */
  id: number;
  uuid: string;
  server_id: string;
  project_id: string;
  user_id: string;
  type: 'migration' | 'resize' | 'live-migration' | 'evacuation';
  status: MigrationStatus;
  source_host: string;
  /** Null until the scheduler has picked one. */
  dest_host: string | null;
  /** JSON, `FlavorSnapshot`. */
  old_flavor: string;
  new_flavor: string;
  /** The operation that works on it, or did so last. */
  operation_id: string | null;
  created_at: number;
  updated_at: number;
}

export interface ConsoleTokenRow {
  /** SHA-256 in hex: whoever reads the record can open no console with it. */
  token_hash: string;
  server_id: string;
  kind: 'novnc' | 'serial';
  expires_at: number;
}

/** What an administrator has set for a project. */
export interface ComputeQuotaRow {
  project_id: string;
  resource: ComputeResource;
  amount: number;
}

export interface ComputeTables {
  compute_quotas: ComputeQuotaRow;
  server_groups: ServerGroupRow;
  server_group_members: ServerGroupMemberRow;
  console_tokens: ConsoleTokenRow;
  flavors: FlavorRow;
  flavor_access: FlavorAccessRow;
  keypairs: KeypairRow;
  servers: ServerRow;
  hosts: HostRow;
  allocations: AllocationRow;
  server_migrations: ServerMigrationRow;
}
