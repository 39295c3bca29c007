/** A move as each microversion shows it: in the list of all, and among those of a server. */
import { LIVE_IN_PROGRESS } from '#db/repo/migration-list.ts';
import type { ServerMigrationRow } from '#db/tables/compute.ts';
import type { FlavorSnapshot } from '#domain/instance/flavor.ts';
import type { Progress } from '#domain/operation/operation.ts';
import { micros } from '../times.ts';

export function isLiveInProgress({ type, status }: ServerMigrationRow): boolean {
  return type === 'live-migration' && LIVE_IN_PROGRESS.includes(status);
}

/** What both places show. */
function commonView(row: ServerMigrationRow, version: number) {
  return {
    id: row.id,
    status: row.status,
    source_compute: row.source_host,
    source_node: row.source_host,
    dest_compute: row.dest_host,
    dest_node: row.dest_host,
    // Nova's address of the other host; ours go from agent to agent and need none.
    dest_host: null,
    created_at: micros(row.created_at),
    updated_at: micros(row.updated_at),
    ...(version >= 59 && { uuid: row.uuid }),
    ...(version >= 80 && { user_id: row.user_id, project_id: row.project_id }),
  };
}

export function migrationView(row: ServerMigrationRow, version: number, base: string): Record<string, unknown> {
  const href = `servers/${row.server_id}/migrations/${row.id}`;
  return {
    ...commonView(row, version),
    instance_uuid: row.server_id,
    old_instance_type_id: flavorNumber(row.old_flavor),
    new_instance_type_id: flavorNumber(row.new_flavor),
    ...(version >= 23 && { migration_type: row.type }),
    ...(version >= 23 &&
      isLiveInProgress(row) && {
        links: [
          { rel: 'self', href: `${base}/v2.1/${href}` },
          { rel: 'bookmark', href: `${base}/${href}` },
        ],
      }),
  };
}

/** Nova's numbers of flavors; here that is what an id happens to be, or nothing. */
function flavorNumber(flavor: string): number | null {
  const { id } = JSON.parse(flavor) as FlavorSnapshot;
  return /^[0-9]{1,9}$/.test(id) ? Number(id) : null;
}

const UNKNOWN = { processed: 0, remaining: 0, total: 0 };

/** A live migration that goes on; bytes are those of the step that runs, and 0 of what does not. */
export function liveMigrationView(
  row: ServerMigrationRow,
  progress: Progress | null,
  version: number,
): Record<string, unknown> {
  const isOfMemory = /memory/i.test(progress?.step ?? '');
  const now = progress
    ? { processed: progress.done, remaining: Math.max(0, progress.total - progress.done), total: progress.total }
    : UNKNOWN;
  const [memory, disk] = isOfMemory ? [now, UNKNOWN] : [UNKNOWN, now];
  return {
    ...commonView(row, version),
    server_uuid: row.server_id,
    memory_total_bytes: memory.total,
    memory_processed_bytes: memory.processed,
    memory_remaining_bytes: memory.remaining,
    disk_total_bytes: disk.total,
    disk_processed_bytes: disk.processed,
    disk_remaining_bytes: disk.remaining,
  };
}
