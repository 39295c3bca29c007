/** Which store the settings mean, and where its keys come from. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '#config/config.ts';
import { localImages, openImageStore } from './image-store.ts';

const KEYS = { s3_access_key: 'name', s3_secret_key: 'secret' };

test('a bucket needs a name and keys, and an endpoint that is one; no error says a key', () => {
  const wrong = [
    [{ image_store: 's3://bucket' }, /s3_access_key, s3_secret_key/],
    [{ image_store: 's3://bucket', s3_access_key: 'name' }, /s3_secret_key/],
    [{ image_store: 's3://', ...KEYS }, /s3:\/\/bucket\/prefix/],
    [{ image_store: 'S3://UPPER/x', ...KEYS }, /s3:\/\/bucket\/prefix/],
    [{ image_store: 's3://bucket', ...KEYS, s3_endpoint: 'localhost:9000' }, /s3_endpoint/],
  ] as const;
  for (const [flags, what] of wrong)
    assert.throws(
      () => openImageStore(loadConfig({ flags })),
      (error: Error) => what.test(error.message) && !error.message.includes("'secret'"),
    );
});

test('a host sees the folder of the images if it has it, and never the bucket', () => {
  const on = (flags: Record<string, string>, withApi: boolean) =>
    localImages(loadConfig({ flags: { data: '/data', ...flags } }), withApi);
  assert.deepEqual(on({}, false), { folder: null, staging: null });
  assert.deepEqual(on({}, true), { folder: '/data/images', staging: '/data/images/staging' });
  assert.deepEqual(on({ image_store: '/nfs' }, false), { folder: '/nfs', staging: '/nfs/staging' });
  assert.deepEqual(on({ image_store: 's3://bucket' }, false), { folder: null, staging: null });
  assert.deepEqual(on({ image_store: 's3://bucket' }, true), { folder: null, staging: '/data/image-spool/staging' });
});

test('keys come from the usual variables, unless our own say otherwise', () => {
  const usual = {
    AWS_ACCESS_KEY_ID: 'a',
    AWS_SECRET_ACCESS_KEY: 'b',
    AWS_SESSION_TOKEN: 'c',
    AWS_REGION: 'd',
    AWS_ENDPOINT_URL: 'e',
    AWS_ENDPOINT_URL_S3: 'f',
  };
  const of = (env: Record<string, string>) => {
    const { s3_access_key, s3_secret_key, s3_session_token, s3_region, s3_endpoint } = loadConfig({ env });
    return [s3_access_key, s3_secret_key, s3_session_token, s3_region, s3_endpoint].join('');
  };
  assert.equal(of(usual), 'abcdf');
  assert.equal(of({ ...usual, MICRONOVA_S3_SECRET_KEY: 'B', MICRONOVA_S3_REGION: 'D' }), 'aBcDf');
  assert.equal(of({}), 'us-east-1');
});
