import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { CloudError } from '#domain/errors.ts';
import { type ByteSource, NotYet } from './byte-source.ts';
import type { DiskFormat } from './image.ts';
import { inspectImage } from './inspect.ts';

const run = promisify(execFile);
const MIB = 2 ** 20;

let dir = '';
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'micronova-inspect-'));
});
after(() => rm(dir, { recursive: true }));

const sourceOf = (bytes: Buffer, complete = true): ByteSource => ({
  size: bytes.length,
  complete,
  read: async (offset, length) => bytes.subarray(offset, offset + length),
});

const inspect = (bytes: Buffer, declared?: DiskFormat, complete = true) =>
  inspectImage(sourceOf(bytes, complete), declared ? { declared } : {});

/** A fresh image by qemu-img, as bytes. */
async function made(format: string, options: readonly string[] = [], size = '8M'): Promise<Buffer> {
  const path = join(dir, 'sample');
  await run('qemu-img', ['create', '-q', '-f', format, ...options, path, size]);
  const bytes = await readFile(path);
  await rm(path);
  return bytes;
}

/** A raw disk of 1 MiB converted by qemu-img, as bytes. */
async function converted(format: string, options: readonly string[] = []): Promise<Buffer> {
  const [raw, path] = [join(dir, 'raw'), join(dir, 'converted')];
  await run('sh', ['-c', `head -c ${MIB} /dev/urandom > ${raw}`]);
  await run('qemu-img', ['convert', '-f', 'raw', '-O', format, ...options, raw, path]);
  const bytes = await readFile(path);
  await rm(path);
  return bytes;
}

async function refused(bytes: Buffer, declared: DiskFormat, reason: RegExp): Promise<void> {
  await assert.rejects(inspect(bytes, declared), (error: CloudError) => {
    assert.equal(error.code, 'imageRejected');
    assert.match(error.message, reason);
    return true;
  });
}

/** A copy with `change` made to it. */
function tampered(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  return copy;
}

const HONEST: readonly [DiskFormat, string, readonly string[]][] = [
  ['qcow2', 'qcow2', ['-o', 'compat=1.1']],
  ['qcow2', 'qcow2', ['-o', 'compat=0.10']],
  ['qcow2', 'qcow2', ['-o', 'compression_type=zstd']],
  ['qcow2', 'qcow2', ['-o', 'extended_l2=on,cluster_size=128k']],
  ['qcow2', 'qcow2', ['-o', 'cluster_size=512']],
  ['qcow2', 'qcow2', ['-o', 'cluster_size=2M']],
  ['vmdk', 'vmdk', ['-o', 'subformat=monolithicSparse']],
  ['vmdk', 'vmdk', ['-o', 'subformat=streamOptimized']],
  ['vhd', 'vpc', ['-o', 'subformat=dynamic,force_size=on']],
  ['vhd', 'vpc', ['-o', 'subformat=fixed,force_size=on']],
  ['vhdx', 'vhdx', []],
  ['vdi', 'vdi', []],
];

for (const [format, qemuName, options] of HONEST) {
  test(`honest ${format} ${options.join(' ')} is accepted with its virtual size, also by its content alone`, async () => {
    for (const [bytes, size] of [
      [await made(qemuName, options), 8 * MIB],
      [await converted(qemuName, options), MIB],
    ] as const) {
      assert.deepEqual(await inspect(bytes, format), { format, virtualSizeBytes: size });
      const isFixedVhd = bytes.subarray(0, 8).toString() !== 'conectix' && format === 'vhd';
      if (!isFixedVhd) assert.deepEqual(await inspect(bytes), { format, virtualSizeBytes: size });
      // What has arrived so far is never a reason to refuse an honest image.
      for (const part of [0, 1, 511, 4096, 65_536, bytes.length - 1]) {
        const early = bytes.subarray(0, Math.min(part, bytes.length));
        if (early.length >= 0x8006 || part === bytes.length - 1)
          await inspect(early, format, false).catch((error) => assert.ok(error instanceof NotYet, String(error)));
      }
    }
  });
}

test('raw is what nothing else is, and as large as its bytes', async () => {
  assert.deepEqual(await inspect(Buffer.alloc(12345, 7), 'raw'), { format: 'raw', virtualSizeBytes: 12345 });
  assert.deepEqual(await inspect(Buffer.alloc(10)), { format: 'raw', virtualSizeBytes: 10 });
  assert.deepEqual(await inspect(Buffer.alloc(0), 'raw'), { format: 'raw', virtualSizeBytes: 0 });
});

test('iso needs its volume descriptor, and may also be a raw disk', async () => {
  const iso = tampered(Buffer.alloc(40_000), (copy) => copy.write('CD001', 0x8001));
  assert.equal((await inspect(iso, 'iso')).format, 'iso');
  assert.equal((await inspect(iso, 'raw')).format, 'raw');
  await refused(Buffer.alloc(40_000), 'iso', /declared iso/);
});

test('a declared format that the content contradicts is refused, raw above all', async () => {
  const samples: Record<string, Buffer> = {
    qcow2: await made('qcow2'),
    vmdk: await made('vmdk'),
    vhd: await made('vpc'),
    vhdx: await made('vhdx'),
    vdi: await made('vdi'),
  };
  for (const [name, bytes] of Object.entries(samples)) {
    for (const declared of ['raw', 'ami', 'iso', ...Object.keys(samples)] as DiskFormat[])
      if (declared !== name) await refused(bytes, declared, new RegExp(`declared ${declared}, but its content is`));
  }
  for (const declared of Object.keys(samples) as DiskFormat[])
    await refused(Buffer.alloc(MIB), declared, /declared|footer/);
  const qed = Buffer.from('QED'.padEnd(600, '\0'));
  await refused(qed, 'raw', /content is qed/);
  await assert.rejects(inspect(qed), CloudError);
});

test('hostile qcow2', async () => {
  const good = await made('qcow2', ['-o', 'compat=1.1']);
  await run('qemu-img', ['create', '-q', '-f', 'raw', join(dir, 'base'), '1M']);
  const backed = await made('qcow2', ['-b', join(dir, 'base'), '-F', 'raw']);
  await refused(backed, 'qcow2', /backing file/);
  const external = await made('qcow2', ['-o', `data_file=${join(dir, 'data')},data_file_raw=on`]);
  await refused(external, 'qcow2', /data in another file/);
  const bitCleared = tampered(external, (copy) => copy.writeBigUInt64BE(0n, 72));
  await refused(bitCleared, 'qcow2', /data in another file/);
  const cases: readonly [RegExp, (copy: Buffer) => void][] = [
    [/version 4/, (copy) => copy.writeUInt32BE(4, 4)],
    [/version 1/, (copy) => copy.writeUInt32BE(1, 4)],
    [/encrypted/, (copy) => copy.writeUInt32BE(2, 32)],
    [/data in another file/, (copy) => copy.writeBigUInt64BE(4n, 72)],
    [/unknown features \(0x20\)/, (copy) => copy.writeBigUInt64BE(32n, 72)],
    [/unknown features/, (copy) => copy.writeBigUInt64BE(1n << 63n, 72)],
    [/marked corrupt/, (copy) => copy.writeBigUInt64BE(2n, 72)],
    [/clusters of 2\^8/, (copy) => copy.writeUInt32BE(8, 20)],
    [/clusters of 2\^4294967295/, (copy) => copy.writeUInt32BE(0xffffffff, 20)],
    [/virtual size is absurd/, (copy) => copy.writeBigUInt64BE(1n << 63n, 24)],
    [/do not cover/, (copy) => copy.writeBigUInt64BE(1n << 45n, 24)],
    [/absurd first-level table/, (copy) => copy.writeUInt32BE(0xffffffff, 36)],
    [/cut short/, (copy) => copy.writeBigUInt64BE(1n << 40n, 40)],
    [/header of 4294967288 bytes/, (copy) => copy.writeUInt32BE(0xfffffff8, 100)],
    [/longer than its cluster/, (copy) => copy.writeUInt32BE(0x7fffffff, copy.readUInt32BE(100) + 4)],
    [
      /too many header extensions/,
      (copy) => {
        for (let at = copy.readUInt32BE(100); at < 60_000; at += 8) copy.writeBigUInt64BE(0x0123456700000000n, at);
      },
    ],
    [/backing file/, (copy) => copy.writeBigUInt64BE(1n, 8)],
  ];
  for (const [reason, change] of cases) await refused(tampered(good, change), 'qcow2', reason);
  await refused(good.subarray(0, 50), 'qcow2', /ends in the middle/);
  await refused(good.subarray(0, 70_000), 'qcow2', /cut short/);
});

test('a decompression bomb is refused by its virtual size', async () => {
  const bomb = await made('qcow2', [], '1T');
  assert.equal((await inspect(bomb, 'qcow2')).virtualSizeBytes, 2 ** 40);
  await assert.rejects(
    inspectImage(sourceOf(bomb), { declared: 'qcow2', maxVirtualBytes: 2 ** 39 }),
    /virtual size of 1099511627776 bytes is over the limit/,
  );
});

test('hostile vmdk', async () => {
  await refused(await made('vmdk', ['-o', 'subformat=monolithicFlat']), 'vmdk', /descriptor of other files/);
  await refused(await made('vmdk', ['-o', 'subformat=twoGbMaxExtentSparse']), 'vmdk', /descriptor of other files/);
  const good = await made('vmdk', ['-o', 'subformat=monolithicSparse']);
  const replaced = (from: string, to: string) =>
    tampered(good, (copy) => {
      const at = copy.indexOf(from, 512, 'latin1');
      assert.ok(at > 0, from);
      const rest = copy.subarray(at + from.length, 512 + 20 * 512);
      const moved = Buffer.concat([Buffer.from(to, 'latin1'), rest]);
      moved.copy(copy, at, 0, 512 + 20 * 512 - at);
    });
  await refused(replaced('monolithicSparse', 'monolithicFlat'), 'vmdk', /type monolithicflat is not/);
  await refused(replaced('SPARSE "sample"', 'FLAT "/etc/passwd" 0'), 'vmdk', /extent in another file/);
  await refused(replaced('SPARSE "sample"', 'SPARSE "/etc/passwd"'), 'vmdk', /extent in another file/);
  await refused(replaced('SPARSE "sample"', 'SPARSE "x"\nRW 1 FLAT "y" 0'), 'vmdk', /2 extents/);
  await refused(replaced('CID=', 'parentFileNameHint="/etc/passwd"\nCID='), 'vmdk', /has a parent/);
  await refused(replaced('createType', 'created'), 'vmdk', /what type/);
  await refused(replaced('CID=', 'createType="monolithicFlat"\nCID='), 'vmdk', /what type/);
  await refused(
    tampered(good, (copy) => copy.writeBigUInt64LE(0n, 12)),
    'vmdk',
    /no capacity/,
  );
  await refused(
    tampered(good, (copy) => copy.writeBigUInt64LE(2n, 28)),
    'vmdk',
    /out of place/,
  );
  await refused(
    tampered(good, (copy) => copy.writeBigUInt64LE(1n << 50n, 36)),
    'vmdk',
    /out of place/,
  );
  // Behind the end that the header names, but within what QEMU reads.
  const short = tampered(good, (copy) => {
    copy.writeBigUInt64LE(2n, 36);
    copy.write('parentFileNameHint="/etc/passwd"', 512 + 3 * 512);
  });
  await refused(short, 'vmdk', /has a parent/);
  for (const text of ['# Disk DescriptorFile\nversion=1\n', '#\n \n\nversion=1\ncreateType="monolithicFlat"\n'])
    for (const declared of ['vmdk', 'raw'] as const)
      await refused(Buffer.from(text.padEnd(2000)), declared, /descriptor of other files|content is vmdk/);
  // As VMware writes it: the directory's place is in a copy of the header at the end, before the end-of-stream marker.
  const withFooter = tampered(await converted('vmdk', ['-o', 'subformat=streamOptimized']), (copy) =>
    copy.fill(0xff, 56, 64),
  );
  const footer = (change: (copy: Buffer) => void) =>
    Buffer.concat([withFooter, Buffer.alloc(512), tampered(withFooter.subarray(0, 512), change), Buffer.alloc(512)]);
  assert.equal(
    (
      await inspect(
        footer(() => {}),
        'vmdk',
      )
    ).virtualSizeBytes,
    MIB,
  );
  await refused(
    footer((copy) => copy.fill(0)),
    'vmdk',
    /footer/,
  );
  await refused(
    footer((copy) => copy.writeBigUInt64LE(1n << 30n, 12)),
    'vmdk',
    /footer/,
  );
  await refused(withFooter, 'vmdk', /footer/);
});

test('hostile vhd, vhdx and vdi', async () => {
  const vhd = await made('vpc');
  const differencing = tampered(vhd, (copy) => copy.writeUInt32BE(4, 60));
  await refused(differencing, 'vhd', /type 4/);
  await refused(
    tampered(vhd, (copy) => copy.writeUInt32BE(4, copy.length - 512 + 60)),
    'vhd',
    /type 4/,
  );
  const vhdx = await made('vhdx');
  const parameters = vhdx.indexOf(Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex'));
  const metadata = vhdx.indexOf('metadata');
  assert.ok(parameters > 0 && metadata > 0);
  const item = metadata + vhdx.readUInt32LE(parameters + 16);
  await refused(
    tampered(vhdx, (copy) => copy.writeUInt32LE(2, item + 4)),
    'vhdx',
    /has a parent/,
  );
  await refused(
    tampered(vhdx, (copy) => copy.writeUInt16LE(60_000, metadata + 10)),
    'vhdx',
    /too many metadata/,
  );
  await refused(
    tampered(vhdx, (copy) => copy.write('xxxx', 192 * 1024)),
    'vhdx',
    /no region table/,
  );
  const vdi = await made('vdi');
  await refused(
    tampered(vdi, (copy) => copy.writeUInt32LE(4, 0x4c)),
    'vdi',
    /type 4/,
  );
  await refused(
    tampered(vdi, (copy) => copy.writeUInt8(1, 0x1b8)),
    'vdi',
    /has a parent/,
  );
});

test('whatever the bytes, the answer is a size or a refusal', async () => {
  const seeds: Buffer[] = [];
  for (const format of ['qcow2', 'vmdk', 'vpc', 'vhdx', 'vdi']) seeds.push((await made(format)).subarray(0, 400_000));
  const flips = fc.array(fc.tuple(fc.nat(2048), fc.nat(255)), { minLength: 1, maxLength: 20 });
  const formats = fc.constantFrom<DiskFormat[]>('qcow2', 'vmdk', 'vhd', 'vhdx', 'vdi', 'raw');
  await fc.assert(
    fc.asyncProperty(fc.nat(seeds.length - 1), flips, formats, async (seed, changes, declared) => {
      const bytes = Buffer.from(seeds[seed] ?? Buffer.alloc(0));
      for (const [at, value] of changes) bytes[at] = value;
      await inspect(bytes, declared).then(
        ({ virtualSizeBytes }) => assert.ok(Number.isSafeInteger(virtualSizeBytes)),
        (error) => assert.ok(error instanceof CloudError, String(error)),
      );
    }),
    { numRuns: 300 },
  );
});
