/** Servers for reading: the image on the host first, then all of them, ACTIVE. */
import { guestImagePath } from '#cli/demo/guest-image.ts';
import type { BenchCloud } from './cloud.ts';

export async function fill(cloud: BenchCloud, servers: number): Promise<void> {
  const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
  await cloud.launchActive(image, { name: 'web' });
  await cloud.launch(image, { count: servers - 1, name: 'web' });
  const { body } = await cloud.request<{ servers: { id: string }[] }>('GET', '/compute/v2.1/servers');
  for (const { id } of body.servers) await cloud.untilStatus(id, 'ACTIVE');
}
