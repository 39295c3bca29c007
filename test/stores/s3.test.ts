/**
 * Images in an S3-compatible store, which is a real one: OpenStack Swift with its S3 interface, started by the test. The port's
 * conformance, what happens when the store is away, and a whole cloud on it.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { CreateBucketCommand, ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3';
import { storeConformance } from '#services/image/store/conformance.ts';
import { s3Store } from '#services/image/store/s3-store.ts';
import { Swift } from '../../src/local/swift.ts';
import { emptyDisk, testCloud } from '../cloud.ts';

let swift: Swift;
let client: S3Client;

before(async () => {
  swift = await Swift.start();
  const { endpoint, accessKey: accessKeyId, secretKey: secretAccessKey } = swift.access;
  const credentials = { accessKeyId, secretAccessKey };
  client = new S3Client({ endpoint, region: 'us-east-1', forcePathStyle: true, credentials });
});
after(async () => {
  client?.destroy();
  await swift?.[Symbol.asyncDispose]();
});

async function newBucket(): Promise<string> {
  const Bucket = `images-${randomUUID()}`;
  await client.send(new CreateBucketCommand({ Bucket }));
  return Bucket;
}

const keysIn = async (Bucket: string) =>
  ((await client.send(new ListObjectsV2Command({ Bucket }))).Contents ?? []).map(({ Key }) => Key ?? '');

async function bench() {
  const [spoolDir, bucket] = [await mkdtemp(join(tmpdir(), 'micronova-s3-')), await newBucket()];
  const open = () => s3Store({ ...swift.access, region: 'us-east-1', bucket, prefix: 'cloud/', spoolDir });
  const store = open();
  return {
    store,
    bucket,
    spoolDir,
    stagingDir: join(spoolDir, 'staging'),
    reopen: open,
    async leftovers() {
      const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
      return [
        ...(await readdir(spoolDir)).filter((name) => name.endsWith('.partial')),
        ...Uploads.map(({ Key = '' }) => Key),
      ];
    },
    async [Symbol.asyncDispose]() {
      await store.close();
      await rm(spoolDir, { recursive: true });
    },
  };
}

storeConformance('Swift over S3', bench);

describe('an S3 store', () => {
  test('parts go while bytes come in', async () => {
    await using made = await bench();
    await made.store.keepOnly(null);
    const incoming = await made.store.openWrite(randomUUID());
    for (let mib = 0; mib < 9; mib++) await incoming.append([randomBytes(2 ** 20)]);
    for (let left = await made.leftovers(); left.length < 2; left = await made.leftovers());
    await incoming.discard();
    assert.deepEqual(await made.leftovers(), []);
  });

  test('only what is directly below its prefix and named like an image is its own', async () => {
    await using made = await bench();
    const stranger = s3Store({
      ...swift.access,
      region: 'us-east-1',
      bucket: made.bucket,
      prefix: '',
      spoolDir: made.spoolDir,
    });
    const id = randomUUID();
    for (const store of [made.store, stranger]) {
      await store.keepOnly(null);
      const incoming = await store.openWrite(id);
      await incoming.seal();
      await incoming.publish();
      await incoming.settle();
    }
    await stranger.keepOnly(new Set());
    assert.deepEqual(await keysIn(made.bucket), [`cloud/${id}`]);
    await stranger.close();
  });

  test('a secret that is wrong, a bucket that is not there: said, without the secret', async () => {
    await using made = await bench();
    const { endpoint, accessKey } = swift.access;
    const common = { endpoint, accessKey, region: 'us-east-1', prefix: '', spoolDir: made.spoolDir };
    const wrong = s3Store({ ...common, secretKey: 'wrong-secret', bucket: made.bucket });
    const nowhere = s3Store({ ...common, secretKey: swift.access.secretKey, bucket: 'no-such-bucket' });
    for (const [store, what] of [
      [wrong, /SignatureDoesNotMatch/],
      [nowhere, /NoSuchBucket/],
    ] as const) {
      const failure = await store.keepOnly(null).catch((error: Error & { code?: string }) => error);
      assert.ok(failure instanceof Error && failure.code === 'serviceUnavailable');
      assert.match(failure.message, what);
      assert.doesNotMatch(JSON.stringify(failure, Object.getOwnPropertyNames(failure)), /secret/);
      await store.close();
    }
  });

  test('the store goes away in the middle: the upload fails, and once it is back nothing is left and all goes on', async () => {
    await using made = await bench();
    await made.store.keepOnly(null);
    const [id, bytes] = [randomUUID(), randomBytes(9 * 2 ** 20)];
    const incoming = await made.store.openWrite(id);
    await incoming.append([bytes]);
    await incoming.seal();
    await swift.kill();
    await assert.rejects(incoming.publish(), { code: 'serviceUnavailable' });
    await incoming.discard();
    await swift.start();
    assert.deepEqual(await made.leftovers(), [`cloud/${id}`], 'what could not be taken back');
    const again = await made.store.openWrite(id);
    await again.append([bytes]);
    await again.seal();
    await again.publish();
    await again.settle();
    assert.equal((await made.store.openRead(id))?.sizeBytes, bytes.length);
    assert.deepEqual(await made.leftovers(), []);
  });
});

test('a whole cloud on it: upload, launch, snapshot, restart, range, delete', async () => {
  const bucket = await newBucket();
  const { endpoint, accessKey, secretKey } = swift.access;
  const config = {
    image_store: `s3://${bucket}/images`,
    s3_endpoint: endpoint,
    s3_access_key: accessKey,
    s3_secret_key: secretKey,
  };
  await using cloud = await testCloud({ driver: 'fake', config });
  const disk = await emptyDisk(cloud.data);
  const image = await cloud.registerImage(disk);
  const server = await cloud.server({ image }).active();
  await cloud.rested(await server.act('createImage', { name: 'snap' }));
  assert.equal((await keysIn(bucket)).length, 2);
  assert.deepEqual(
    await readdir(join(cloud.data, 'image-spool', 'staging')),
    [],
    'the copy of the disk was taken over',
  );
  await cloud.restart();
  const user = await cloud.as('demo');
  const { images } = await user.ok<{ images: { id: string; status: string }[] }>('GET', '/image/v2/images');
  assert.deepEqual(
    images.map(({ status }) => status),
    ['active', 'active'],
  );
  await cloud.rested(await server.delete());
  for (const { id } of images) assert.equal((await user.request('DELETE', `/image/v2/images/${id}`)).status, 204);
  assert.deepEqual(await keysIn(bucket), []);
});
