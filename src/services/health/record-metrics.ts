/**
 * What the record says of the whole cloud, as gauges of the conductors' processes: each says the same, so take `max by`.
 *
 * The counting of a large cloud takes some ten milliseconds, and is not done again for ten seconds.
 */
import type { Queries } from '#db/database.ts';
import { isUp, listHosts } from '#db/repo/hosts.ts';
import { imagesByStatus, openOperations, serversByHost, waitingOutbox } from '#db/repo/overview.ts';
import type { Meter, Sample } from '#observe/metrics.ts';

const FRESH_MS = 10_000;

export function measureRecord(db: Queries, meter: Meter, now: () => number = Date.now): void {
  let last: { readonly at: number; readonly samples: Promise<readonly Sample[]> } | undefined;
  meter.gauges(async () => {
    if (!last || now() - last.at >= FRESH_MS) last = { at: now(), samples: look(db, now()) };
    const { samples } = last;
    try {
      return await samples;
    } catch (error) {
      // Asked again at the next scrape.
      last = undefined;
      throw error;
    }
  });
}

async function look(db: Queries, now: number): Promise<readonly Sample[]> {
  return (await Promise.all([operations(db, now), outbox(db, now), hosts(db, now), servers(db), images(db)])).flat();
}

async function operations(db: Queries, now: number): Promise<Sample[]> {
  const open = await openOperations(db);
  const counts = open.map(
    ({ kind, state, count }): Sample => ({ name: 'micronova_operations_open', labels: { kind, state }, value: count }),
  );
  const underWay = open.filter(({ state }) => state !== 'needs_attention');
  const ages = [...Map.groupBy(underWay, ({ kind }) => kind)].map(
    ([kind, all]): Sample => ({
      name: 'micronova_operation_oldest_age_seconds',
      labels: { kind },
      value: age(Math.min(...all.map(({ oldest }) => oldest)), now),
    }),
  );
  return [...counts, ...ages];
}

async function outbox(db: Queries, now: number): Promise<Sample[]> {
  const { count, oldest } = await waitingOutbox(db);
  return [
    { name: 'micronova_outbox_messages', labels: {}, value: count },
    { name: 'micronova_outbox_oldest_age_seconds', labels: {}, value: oldest === null ? 0 : age(oldest, now) },
  ];
}

async function hosts(db: Queries, now: number): Promise<Sample[]> {
  return (await listHosts(db)).flatMap((host): Sample[] => [
    { name: 'micronova_host_up', labels: { host: host.name }, value: isUp(host, now) ? 1 : 0 },
    { name: 'micronova_host_enabled', labels: { host: host.name }, value: host.enabled },
  ]);
}

async function servers(db: Queries): Promise<Sample[]> {
  return (await serversByHost(db)).map(({ host, state, count }) => ({
    name: 'micronova_servers',
    labels: { host: host ?? '', state },
    value: count,
  }));
}

async function images(db: Queries): Promise<Sample[]> {
  return (await imagesByStatus(db)).flatMap(({ status, count, bytes }): Sample[] => [
    { name: 'micronova_images', labels: { status }, value: count },
    { name: 'micronova_image_bytes', labels: { status }, value: bytes },
  ]);
}

function age(since: number, now: number): number {
  return Math.max(0, now - since) / 1000;
}
