/** What a host has on it, as the API tells: servers, and what moves have left. */
import { ENDED } from '#db/repo/server-migrations.ts';
import type { MigrationStatus } from '#db/tables/compute.ts';
import type { OpenStack } from './openstack.ts';

export interface Server {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly 'OS-EXT-STS:task_state': string | null;
  readonly 'OS-EXT-SRV-ATTR:host': string | null;
}

export interface Migration {
  readonly uuid: string;
  readonly instance_uuid: string;
  readonly migration_type: string;
  readonly status: MigrationStatus;
}

export function serversOn(cloud: OpenStack, host: string): Promise<Server[]> {
  const path = `/compute/v2.1/servers/detail?all_tenants=1&host=${encodeURIComponent(host)}`;
  return cloud.everyPage<Server>(path, 'servers', ({ id }) => id);
}

/** Moves that have left something on the host: under way, or waiting to be confirmed. */
export async function movesFrom(cloud: OpenStack, host: string): Promise<Migration[]> {
  const path = `/compute/v2.1/os-migrations?source_compute=${encodeURIComponent(host)}`;
  const all = await cloud.everyPage<Migration>(path, 'migrations', ({ uuid }) => uuid);
  return all.filter(({ status }) => !ENDED.includes(status));
}
