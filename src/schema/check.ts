/**
 * One compiled checker per schema, for everything that crosses an edge: requests, messages, journal, configuration.
 *
 * Compiling costs about a millisecond, so it happens at a schema's first use, not at start.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import addFormats from 'ajv-formats';
import type { Static, TSchema } from 'typebox';

const ajv = new Ajv({ allErrors: true, verbose: true, strict: false });
// The package is CommonJS; its callable default sits one level down for ESM importers.
(addFormats as unknown as { default: (to: Ajv) => void }).default(ajv);

const compiled = new WeakMap<TSchema, ValidateFunction>();

/** The problems of `value` under `schema`; empty when it fits. */
export function problemsOf(schema: TSchema, value: unknown): readonly ErrorObject[] {
  let check = compiled.get(schema);
  if (!check) {
    check = ajv.compile(schema);
    compiled.set(schema, check);
  }
  return check(value) ? [] : (check.errors ?? []);
}

/** `value`, known to be of `schema`. Throws a TypeError that names the first place where it is not: a defect, not input. */
export function checked<Schema extends TSchema>(schema: Schema, value: unknown, what: string): Static<Schema> {
  const [problem] = problemsOf(schema, value);
  if (problem) throw new TypeError(`${what}${problem.instancePath} ${problem.message}`);
  return value as Static<Schema>;
}
