/** Launching many servers and removing them again, on a cloud whose hosts have the image. */
import { setTimeout as delay } from 'node:timers/promises';
import type { BenchCloud } from './cloud.ts';

const LOOK_MS = 50;
const CONNECTIONS = 32;
const PAGE = 1000;

/** One after the other: the emptiest host is preferred, so each of them gets one, and with it the image. */
export async function bringImageToHosts(cloud: BenchCloud, image: string, hosts: number): Promise<void> {
  const first: string[] = [];
  for (let host = 0; host < hosts; host++) first.push((await cloud.launchActive(image)).id);
  await cloud.removeServers(first);
}

/** Servers a second, from the first request until all are ACTIVE, which `onActive` is told; then they are removed. */
export async function launchesPerSecond(
  cloud: BenchCloud,
  servers: number,
  launch: () => Promise<void>,
  onActive: () => void = () => undefined,
): Promise<number> {
  const begun = performance.now();
  await launch();
  while (await someAre(cloud, 'BUILD')) await delay(LOOK_MS);
  const seconds = (performance.now() - begun) / 1000;
  onActive();
  const ids = await idsOf(cloud, 'ACTIVE');
  if (ids.length !== servers) throw new Error(`${ids.length} of ${servers} servers are ACTIVE`);
  await cloud.removeServers(ids);
  return servers / seconds;
}

/** One request for each, over many connections; the clouds, which are entries of the same, take turns. */
export async function oneByOne(entries: readonly BenchCloud[], image: string, servers: number): Promise<void> {
  let left = servers;
  const connection = async () => {
    while (left > 0) {
      left -= 1;
      await entries[left % entries.length]?.launch(image);
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, connection));
}

export const ONE_BY_ONE_HOW = `one request a server, ${CONNECTIONS} connections`;

async function someAre(cloud: BenchCloud, status: string): Promise<boolean> {
  const path = `/compute/v2.1/servers?status=${status}&limit=1`;
  return (await cloud.request<{ servers: unknown[] }>('GET', path)).body.servers.length > 0;
}

async function idsOf(cloud: BenchCloud, status: string): Promise<string[]> {
  const ids: string[] = [];
  for (;;) {
    const marker = ids.length === 0 ? '' : `&marker=${ids.at(-1)}`;
    const path = `/compute/v2.1/servers?status=${status}&limit=${PAGE}${marker}`;
    const { servers } = (await cloud.request<{ servers: { id: string }[] }>('GET', path)).body;
    ids.push(...servers.map(({ id }) => id));
    if (servers.length < PAGE) return ids;
  }
}
