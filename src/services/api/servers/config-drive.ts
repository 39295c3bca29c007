/**
 * What the config drive holds: the metadata that the guest reads at boot. The password is added later, by the launch.
 * Source: OpenStack "Metadata service and config drive".
 */
import type { ConfigDrive, Nic } from '#contracts/guest.ts';
import type { Queries } from '#db/database.ts';
import { guestFacts } from '#db/repo/guest-facts.ts';
import type { ServerRow } from '#db/tables/compute.ts';
import type { GuestFacts } from '#domain/metadata/facts.ts';
import { openstackFiles } from '#domain/metadata/openstack.ts';

/** What an operation that makes a guest needs to know beside the server's row. */
export interface GuestParts {
  readonly nics: Nic[];
  /** Files by their path on the drive, wanted or not. */
  readonly drive: ConfigDrive;
  /** The same, or null where no drive is wanted. */
  readonly configDrive: ConfigDrive | null;
}

/** The parts of one server; `row` may say what it will be after the change that is asked for. */
export async function guestParts(db: Queries, row: ServerRow): Promise<GuestParts> {
  const facts = (await guestFacts(db, [row])).get(row.id);
  if (!facts) throw new Error(`no facts of server ${row.id}`);
  return partsOf(row, facts);
}

/** The same where the facts are known. */
export function partsOf(row: ServerRow, facts: GuestFacts): GuestParts {
  const files = Object.entries(openstackFiles(facts));
  const drive = Object.fromEntries(files.map(([name, content]) => [`openstack/latest/${name}`, content]));
  const nics = facts.nics.map(({ mac, port }) => ({ mac, ...(port && { portId: port.id, mtu: port.mtu }) }));
  return { nics, drive, configDrive: row.config_drive === 0 ? null : drive };
}
