/** The compute tables: flavors, key pairs, servers, hosts and what servers hold of them. Times are epoch ms. */
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
  access_ip_v4: string;
  access_ip_v6: string;
  disk_config: 'AUTO' | 'MANUAL';
  /** The operation that may change the state now; null when none is in flight. */
  operation_id: string | null;
  launched_at: number | null;
  terminated_at: number | null;
  created_at: number;
  updated_at: number;
  /** Set when deleted; the row stays for the record of actions. */
  deleted_at: number | null;
  /** Counts every change, so that a rendered server can be cached by it. */
  version: number;
}

export interface HostRow {
  id: string;
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
  contract_version: number;
  /** The last heartbeat. */
  seen_at: number;
  created_at: number;
  /** Changes with every claim, so that two schedulers cannot book the same room. */
  generation: number;
}

/** What a server holds of a host. Usage is the sum of these rows; no counter is kept anywhere. */
export interface AllocationRow {
  server_id: string;
  host: string;
  vcpus: number;
  memory_mib: number;
  disk_gib: number;
  created_at: number;
}

export interface ComputeTables {
  flavors: FlavorRow;
  flavor_access: FlavorAccessRow;
  keypairs: KeypairRow;
  servers: ServerRow;
  hosts: HostRow;
  allocations: AllocationRow;
}
