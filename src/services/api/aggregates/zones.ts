/**
 * What an aggregate may not do to the zones of its hosts: a host is in one zone, and one that is in use stays in its own, since
 * its servers were told which that is.
 */

import type { Queries } from '#db/database.ts';
import { aggregatesByHost, ZONE_KEY, zoneOf } from '#db/repo/aggregates.ts';
import { isInUse } from '#db/repo/host-settings.ts';
import { findHost } from '#db/repo/hosts.ts';
import { CloudError } from '#domain/errors.ts';

/** How Nova refuses: adding and removing a host is a conflict, a change of the aggregate a bad request. */
export interface Refusal {
  readonly code: 'conflict' | 'badRequest';
  readonly text: (reason: string) => string;
}

/** Runs a change of these hosts' aggregates in its transaction, and throws where it may not be. */
export async function changeZones<Result>(
  trx: Queries,
  hosts: readonly string[],
  refusal: Refusal,
  change: () => Promise<Result>,
): Promise<Result> {
  const refused = (reason: string) => new CloudError(refusal.code, { reason: refusal.text(reason) });
  const before = await zonesOf(trx, hosts);
  const result = await change();
  for (const [host, { zone, all }] of await zonesOf(trx, hosts)) {
    if (all.length > 1) throw refused(`One or more hosts already in availability zone(s) ${all.join(', ')}.`);
    if (zone !== before.get(host)?.zone && (await isInUse(trx, host)))
      throw refused('One or more hosts contain instances in this zone.');
  }
  return result;
}

/** The zone of each host, and all that its aggregates name. */
async function zonesOf(trx: Queries, hosts: readonly string[]) {
  const zones = new Map<string, { readonly zone: string; readonly all: readonly string[] }>();
  for (const name of hosts) {
    const host = await findHost(trx, name);
    if (!host) continue;
    const aggregates = (await aggregatesByHost(trx, name)).get(name);
    const all = new Set((aggregates ?? []).flatMap((metadata) => metadata[ZONE_KEY] || []));
    zones.set(name, { zone: zoneOf(host, aggregates), all: [...all] });
  }
  return zones;
}
