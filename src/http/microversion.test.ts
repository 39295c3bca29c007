/** Microversion negotiation, as the API SIG's guideline has it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudError } from '#domain/errors.ts';
import { negotiate, versionHeaders } from './microversion.ts';

const RANGE = { type: 'compute', legacyHeader: 'X-OpenStack-Nova-API-Version', min: 1, max: 93 };
const combined = (value: string) => ({ 'openstack-api-version': value });
const legacy = (value: string) => ({ 'x-openstack-nova-api-version': value });

test('without a header, or with one of another service, the minimum answers', () => {
  assert.equal(negotiate({}, RANGE), 1);
  assert.equal(negotiate(combined('volume 3.50'), RANGE), 1);
});

test('a version in the range answers as asked', () => {
  for (const [headers, minor] of [
    [combined('compute 2.1'), 1],
    [combined('compute 2.93'), 93],
    [combined('Compute  2.10'), 10],
    [combined('volume 3.1, compute 2.53'), 53],
    [combined('compute latest'), 93],
    [legacy('2.79'), 79],
    [legacy('latest'), 93],
    [{ ...legacy('2.2'), ...combined('compute 2.3') }, 3],
    [{ ...legacy('2.2'), ...combined('volume 3.3') }, 2],
  ] as const)
    assert.equal(negotiate(headers, RANGE), minor, JSON.stringify(headers));
});

test('a version outside the range is 406, naming the range', () => {
  for (const asked of ['2.94', '2.0', '3.1', '1.1', '2.9999']) {
    for (const headers of [combined(`compute ${asked}`), legacy(asked)])
      assert.throws(
        () => negotiate(headers, RANGE),
        (error) =>
          error instanceof CloudError &&
          error.status === 406 &&
          error.message === `Version ${asked} is not supported by the API. Minimum is 2.1 and maximum is 2.93.`,
      );
  }
});

test('what is no version is 400', () => {
  for (const asked of ['abc', '2', '2.', '.1', '2.01', '-2.1', '2.1.1', '', '2.99999', 'LATEST', '__proto__'])
    assert.throws(
      () => negotiate(combined(`compute ${asked}`), RANGE),
      (error) => error instanceof CloudError && error.status === 400 && /is of invalid format/.test(error.message),
      asked,
    );
});

test('the answer names the version in both headers and varies by both', () => {
  assert.deepEqual(versionHeaders(53, RANGE), {
    'openstack-api-version': 'compute 2.53',
    'X-OpenStack-Nova-API-Version': '2.53',
    vary: 'OpenStack-API-Version, X-OpenStack-Nova-API-Version',
  });
});
