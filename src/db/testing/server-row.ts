/** For tests: a server's row, of which a test says only what it is about. */
import { randomUUID } from 'node:crypto';
import type { Database } from '../database.ts';
import type { ServerRow } from '../tables/compute.ts';

/** A running server on `host-1`, with these columns. */
export function serverRow(columns: Partial<ServerRow> = {}): ServerRow {
  const id = columns.id ?? randomUUID();
  return {
    id,
    project_id: 'p',
    user_id: 'u',
    name: 'web',
    hostname: 'web',
    description: null,
    image_id: 'i',
    flavor: JSON.stringify({
      id: '42',
      name: 'm1.nano',
      vcpus: 1,
      memoryMib: 128,
      diskGib: 1,
      ephemeralGib: 0,
      swapMib: 0,
      extraSpecs: {},
    }),
    key_name: null,
    public_key: null,
    user_data: null,
    metadata: '{}',
    tags: '[]',
    config_drive: 1,
    nics: JSON.stringify([{ mac: 'fa:16:3e:00:00:01' }]),
    availability_zone: 'nova',
    host: 'host-1',
    reservation_id: 'r-12345678',
    launch_index: 0,
    vm_state: 'active',
    task_state: null,
    power_state: 1,
    progress: 0,
    fault: null,
    locked: 0,
    locked_reason: null,
    locked_by: null,
    shelved_image_id: null,
    shelved_at: null,
    soft_deleted_at: null,
    image_properties: '{}',
    access_ip_v4: '',
    access_ip_v6: '',
    disk_config: 'MANUAL',
    operation_id: null,
    launched_at: 1,
    terminated_at: null,
    created_at: 1,
    updated_at: 1,
    deleted_at: null,
    version: 1,
    ...columns,
  };
}

/** Writes such a server into the record; answers its row. */
export async function addServer(
  { queries }: Pick<Database, 'queries'>,
  columns: Partial<ServerRow> = {},
): Promise<ServerRow> {
  const row = serverRow(columns);
  await queries.insertInto('servers').values(row).execute();
  return row;
}
