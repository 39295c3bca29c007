/**
 * 1 GiB through the image service, both ways, hashed and made durable, against a bare `node:http` server that only moves
 * the bytes; and how much memory the cloud takes while it does so.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { output, startScript } from './lib/child.ts';
import { startCloud } from './lib/cloud.ts';
import { drain, put } from './lib/http.ts';
import { residentBytes, watchMost } from './lib/memory.ts';
import type { Benchmark, Row } from './lib/row.ts';
import { least, median, mib, timed } from './lib/stats.ts';

const MIB = 2 ** 20;
const GOAL = 0.7;
const FLAT_MIB = 64;
const SAMPLE_MS = 20;

export const imageTransfer: Benchmark = {
  name: 'image-transfer',
  async run({ quick, scratch, say }) {
    const size = (quick ? 256 : 1024) * MIB;
    const rounds = quick ? 2 : 4;
    const file = join(scratch, 'data.raw');
    await writeRandom(file, size);
    const rawDir = join(scratch, 'raw');
    await mkdir(rawDir);
    const raw = await startScript('raw-server.ts', ['files', rawDir]);
    const cloud = await startCloud(join(scratch, 'cloud'), { driver: 'fake' });
    const times = { up: [] as number[], down: [] as number[] };
    const rawTimes = { up: [] as number[], durable: [] as number[], down: [] as number[] };
    const growth: number[] = [];
    try {
      const rawUrl = `${raw.ready.slice('ready '.length)}/data`;
      const send = (durable: string) => {
        const headers = { 'content-length': String(size), 'x-durable': durable };
        return put(rawUrl, headers, createReadStream(file, { highWaterMark: MIB }));
      };
      for (let round = 0; round < rounds; round++) {
        say(`${mib(size)} up and down, round ${round + 1} of ${rounds}`);
        const settled = async (work: () => Promise<unknown>) => {
          await output('sync', []);
          return timed(work);
        };
        rawTimes.up.push(await settled(() => send('no')));
        rawTimes.durable.push(await settled(() => send('yes')));
        rawTimes.down.push(await settled(() => drain(rawUrl, {})));
        const image = await cloud.reserveImage('data', 'raw');
        const before = residentBytes(cloud.pid);
        const largest = watchMost(() => residentBytes(cloud.pid), SAMPLE_MS);
        times.up.push(await settled(() => cloud.upload(image, file)));
        times.down.push(await settled(() => drain(`${cloud.url}/image/v2/images/${image}/file`, cloud.headers)));
        growth.push(largest() - before);
        await cloud.removeImage(image);
        await rm(join(rawDir, 'data'));
      }
    } finally {
      await raw.end();
      await cloud.close();
    }
    const compare = (what: string, ours: number[], bare: number[], how: string, hasGoal = true): Row => {
      const ratio = least(bare) / least(ours);
      return {
        what,
        ours: rates(ours, size),
        baseline: rates(bare, size),
        ratio,
        ...(hasGoal && { goal: `≥ ${GOAL}`, met: ratio >= GOAL }),
        how: `${mib(size)} of random data, ${rounds} rounds in turns, sync before each, ratio of the best; ${how}`,
      };
    };
    const largest = median(growth);
    return [
      compare(
        'image upload',
        times.up,
        rawTimes.durable,
        'MD5, SHA-512, inspection and fsync; baseline: to a file, and fsync',
      ),
      compare('image upload, baseline without fsync', times.up, rawTimes.up, 'baseline: to a file', false),
      compare('image download', times.down, rawTimes.down, 'baseline: createReadStream to the socket'),
      {
        what: 'memory growth during the transfers',
        ours: mib(largest),
        goal: `flat (< ${FLAT_MIB} MiB)`,
        met: largest < FLAT_MIB * MIB,
        how: `VmRSS of the cloud every ${SAMPLE_MS} ms, largest less before, median of ${rounds} rounds`,
      },
    ];
  },
};

function rates(times: readonly number[], size: number): string {
  const rate = (ms: number) => `${Math.round(size / MIB / (ms / 1000))} MiB/s`;
  return `${rate(median(times))} (best ${rate(least(times))})`;
}

async function writeRandom(path: string, size: number): Promise<void> {
  const file = await open(path, 'wx');
  try {
    for (let done = 0; done < size; done += 16 * MIB) await file.write(randomBytes(16 * MIB));
  } finally {
    await file.close();
  }
}
