/** Snapshots of a real guest with data on its disk: what the guest feels of it, and how fast it is. One guest for all rows. */
import { join } from 'node:path';
import { guestImagePath } from '#cli/demo/guest-image.ts';
import { startCloud } from './lib/cloud.ts';
import { prepareGuest } from './lib/guest.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { pausePoint, snapshotLatency } from './snapshot-latency.ts';
import { snapshotThroughput } from './snapshot-throughput.ts';

const DISK_GIB = 3;

export const snapshot: Benchmark = {
  name: 'snapshot',
  async run({ quick, scratch, say }) {
    const dataMib = quick ? 256 : 1024;
    const dir = join(scratch, 'cloud');
    const cloud = await startCloud(dir, { driver: 'qemu' });
    const rows: Row[] = [];
    try {
      const image = await cloud.addImage(guestImagePath(), 'guest', 'qcow2');
      say(`a guest with ${dataMib} MiB of random data`);
      const guest = await prepareGuest(cloud, image, { diskGib: DISK_GIB, dataMib });
      try {
        rows.push(...(await snapshotLatency(cloud, guest, { rounds: quick ? 2 : 3, scratch, say })));
        rows.push(...(await snapshotThroughput(cloud, guest, { rounds: quick ? 3 : 5, say })));
      } finally {
        guest.console.close();
        await cloud.removeServers([guest.id]);
      }
    } finally {
      await cloud.close();
    }
    return [...rows, await pausePoint(dir, `${dataMib} MiB of data`)];
  },
};
