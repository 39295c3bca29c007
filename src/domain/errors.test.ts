/** The error catalogue: complete, used, and the same on both sides of a process boundary. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { CloudError, ERRORS, type ErrorCode } from './errors.ts';

const codes = Object.keys(ERRORS) as ErrorCode[];

function sources(): string {
  const root = join(import.meta.dirname, '..');
  return readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts') && name !== 'domain/errors.ts')
    .map((name) => readFileSync(join(root, name), 'utf8'))
    .join('\n');
}

test('every entry has a status of an error and a text', () => {
  for (const code of codes) {
    const { status, text } = ERRORS[code];
    assert.ok(status >= 400 && status < 600, code);
    assert.ok(text.length > 0, code);
    assert.doesNotMatch(text.replace(/\{\w+\}/g, ''), /[{}]/, `${code}: a placeholder is a word in braces`);
  }
});

test('no client error is tried again, and every 503 is', () => {
  for (const code of codes) {
    const entry: { status: number; retryable?: true } = ERRORS[code];
    if (entry.retryable) assert.ok(entry.status >= 500, code);
    if (entry.status === 503) assert.equal(entry.retryable, true, code);
  }
});

/** For routes and roles that are still to come. */
const NOT_YET = ['methodNotAllowed', 'hostDown'];

test('every entry is used by somebody', () => {
  const text = sources();
  const unused = codes.filter((code) => code !== 'internal' && !new RegExp(`['"]${code}['"]`).test(text));
  assert.deepEqual(
    unused.filter((code) => !NOT_YET.includes(code)),
    [],
  );
});

test('placeholders are filled, and what a parameter holds is not filled again', () => {
  const error = new CloudError('notFound', { what: 'Thing {id}', id: '$& {what}' });
  assert.equal(error.message, 'Thing {id} $& {what} could not be found.');
  assert.equal(error.status, 404);
});

test('an error survives the way over the bus, and an unknown one becomes internal', () => {
  const error = new CloudError('hostDown', { host: 'h', reason: 'r' });
  const copy = CloudError.fromData(JSON.parse(JSON.stringify(error.toData())));
  assert.deepEqual(copy.toData(), error.toData());
  assert.equal(copy.retryable, true);
  assert.equal(CloudError.fromData({ ...error.toData(), code: 'nothing' as ErrorCode }).code, 'internal');
});

test('a code that every object has as a property is unknown too', () => {
  const data = new CloudError('malformedBody', {}).toData();
  for (const code of ['toString', '__proto__'])
    assert.equal(CloudError.fromData({ ...data, code: code as ErrorCode }).code, 'internal');
});

test('a stranger becomes internal, with itself as the cause and nothing of it in the text', () => {
  const cause = new TypeError('secret detail');
  const error = CloudError.from(cause, 'req-1');
  assert.equal(error.code, 'internal');
  assert.equal(error.cause, cause);
  assert.equal(error.message, 'Unexpected error. Report it with the request id req-1.');
  const known = new CloudError('malformedBody', {});
  assert.equal(CloudError.from(known), known);
});
