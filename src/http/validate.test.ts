/** The words of a refused body or query: Nova's, never longer than sensible, and without secrets. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Type } from 'typebox';
import { validate } from './validate.ts';

const strict = { additionalProperties: false };
const SCHEMA = Type.Object(
  {
    server: Type.Object(
      {
        name: Type.String({ minLength: 1, maxLength: 10, pattern: '^[a-z]*$' }),
        size: Type.Optional(Type.Union([Type.Integer({ minimum: 1 }), Type.Null()])),
        mode: Type.Optional(Type.Enum(['AUTO', 'MANUAL'])),
        adminPass: Type.Optional(Type.String({ maxLength: 5 })),
        passwords: Type.Optional(Type.Array(Type.Object({ password: Type.Integer() }))),
      },
      strict,
    ),
  },
  strict,
);

function message(value: unknown): string {
  try {
    validate(SCHEMA, value, 'body');
  } catch (error) {
    return (error as Error).message;
  }
  return 'fits';
}

test('each kind of problem has its words', () => {
  const cases: readonly [unknown, string][] = [
    [{ server: { name: 'a' } }, 'fits'],
    [{ server: { name: 'a', size: null } }, 'fits'],
    [{}, "'server' is a required property"],
    [{ server: { name: 'a' }, x: 1 }, "Additional properties are not allowed ('x' was unexpected)"],
    [{ server: { name: '' } }, "Invalid input for field/attribute name. Value: ''. '' is too short"],
    [{ server: { name: 'Aa' } }, "Invalid input for field/attribute name. Value: 'Aa'. 'Aa' does not match '^[a-z]*$'"],
    [{ server: { name: 5 } }, "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'"],
    [
      { server: { name: 'a', mode: 'auto' } },
      "Invalid input for field/attribute mode. Value: 'auto'. 'auto' is not one of ['AUTO', 'MANUAL']",
    ],
    [
      { server: { name: 'a', size: 0 } },
      'Invalid input for field/attribute size. Value: 0. 0 is less than the minimum of 1',
    ],
  ];
  for (const [value, words] of cases) assert.equal(message(value), words);
});

test('a secret is never repeated, wherever it stands', () => {
  for (const server of [
    { name: 'a', adminPass: 'hunter2-too-long' },
    { name: 'a', adminPass: ['hunter2'] },
    { name: 'a', passwords: [{ password: 'hunter2' }] },
    { name: 'a', adminPass: { a: 'hunter2' } },
    { adminPass: 'hunter2' },
  ]) {
    const words = message({ server });
    assert.notEqual(words, 'fits');
    assert.doesNotMatch(words, /hunter2/);
  }
});

test('size and depth of what was sent cost little and are cut', () => {
  const deep = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
  for (const name of [
    'x'.repeat(100_000),
    deep(2000),
    deep(5000),
    Array(100_000).fill('x'),
    { a: 'x'.repeat(100_000) },
  ]) {
    const words = message({ server: { name } });
    assert.match(words, /^Invalid input for field\/attribute name/);
    assert.ok(words.length < 600, String(words.length));
  }
});

test('version 2.0 drops what it does not know and checks the rest', () => {
  const body = { server: { name: 'a', foo: 1 }, bar: 2 };
  validate(SCHEMA, body, 'body', { ignoreUnknown: true });
  assert.deepEqual(body, { server: { name: 'a' } });
  assert.throws(
    () => validate(SCHEMA, { server: { name: 1 }, bar: 2 }, 'body', { ignoreUnknown: true }),
    /is not of type/,
  );
});
