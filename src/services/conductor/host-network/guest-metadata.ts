/** What the guest behind a port may know of itself. */
import type { Database } from '#db/database.ts';
import { guestFacts } from '#db/repo/guest-facts.ts';
import { findServer } from '#db/repo/servers.ts';
import type { GuestFacts } from '#domain/metadata/facts.ts';

/** Null unless the port is one of a server that has room on the host: an agent learns nothing of others' guests. */
export async function guestMetadata(
  { queries }: Database,
  { host, portId }: { readonly host: string; readonly portId: string },
): Promise<GuestFacts | null> {
  const port = await queries
    .selectFrom('ports')
    .innerJoin('allocations', 'allocations.server_id', 'ports.device_id')
    .select('ports.device_id')
    .where('ports.id', '=', portId)
    .where('allocations.host', '=', host)
    .executeTakeFirst();
  const row = port && (await findServer(queries, port.device_id, null));
  return row ? ((await guestFacts(queries, [row])).get(row.id) ?? null) : null;
}
