/**
 * Checks bodies and queries against the schema of their route and words the first problem as Nova does, so that
 * clients which parse the text find what they expect.
 */
import type { ErrorObject } from 'ajv';
import type { TSchema } from 'typebox';
import { CloudError } from '#domain/errors.ts';
import { problemsOf } from '#schema/check.ts';

/**
 * Throws `badRequest` with Nova's wording when `value` is not of `schema`. `ignoreUnknown`: keys that the schema does not
 * know are taken out of `value` instead, as in Nova's version 2.0.
 */
export function validate(
  schema: TSchema,
  value: unknown,
  what: 'body' | 'query',
  options: { readonly ignoreUnknown?: boolean } = {},
): void {
  let problems = problemsOf(schema, value);
  if (options.ignoreUnknown && problems.some(dropUnknown)) {
    for (const problem of problems) dropUnknown(problem);
    problems = problemsOf(schema, value);
  }
  if (problems.length > 0) throw new CloudError('badRequest', { reason: explain(problems, what) });
}

/** Answers whether the problem was a key that is not known; it is gone then. */
function dropUnknown({ keyword, params, data }: ErrorObject): boolean {
  if (keyword !== 'additionalProperties') return false;
  delete (data as Record<string, unknown>)[params.additionalProperty as string];
  return true;
}

function explain(errors: readonly ErrorObject[], what: 'body' | 'query'): string {
  const error = bestMatch(errors);
  if (!error) return 'Invalid input';
  const message = reasonOf(error);
  const path = error.instancePath.split('/').slice(1);
  if (path.length === 0) return message;
  const place = what === 'body' ? 'field/attribute' : 'query parameters';
  return `Invalid input for ${place} ${path.at(-1)}. Value: ${shorten(error.data, path.at(-1))}. ${message}`;
}

/**
 * The error nearest to the root says most. Of `anyOf`/`oneOf` it is that of the branch which was meant, where that is
 * plain: all others are of another type.
 */
function bestMatch(errors: readonly ErrorObject[]): ErrorObject | undefined {
  const depth = (error: ErrorObject) => error.instancePath.split('/').length;
  const plain = errors.filter((error) => !['anyOf', 'oneOf', 'if'].includes(error.keyword));
  const combined = errors.filter((error) => ['anyOf', 'oneOf'].includes(error.keyword));
  const outside = plain.filter((error) => !combined.some((outer) => error.schemaPath.startsWith(outer.schemaPath)));
  const candidates = [...outside, ...combined];
  const best = candidates.toSorted((a, b) => depth(a) - depth(b))[0] ?? errors[0];
  return best && combined.includes(best) ? (meantIn(best, plain) ?? best) : best;
}

/** The error of the only branch of `outer` that the value's type fits. */
function meantIn(outer: ErrorObject, plain: readonly ErrorObject[]): ErrorObject | undefined {
  const inside = plain.filter((error) => error.schemaPath.startsWith(`${outer.schemaPath}/`));
  const branches = Map.groupBy(inside, (error) => error.schemaPath.slice(outer.schemaPath.length).split('/')[1]);
  const fitting = [...branches.values()].filter(
    (branch) => !branch.some(({ keyword, instancePath }) => keyword === 'type' && instancePath === outer.instancePath),
  );
  return fitting.length === 1 ? fitting[0]?.[0] : undefined;
}

function reasonOf(error: ErrorObject): string {
  const value = shorten(error.data, error.instancePath.split('/').at(-1));
  switch (error.keyword) {
    case 'additionalProperties':
      return `Additional properties are not allowed ('${error.params.additionalProperty}' was unexpected)`;
    case 'required':
      return `'${error.params.missingProperty}' is a required property`;
    case 'type':
      return `${value} is not of type ${quoteTypes(error.params.type)}`;
    case 'maxLength':
      return `${value} is too long`;
    case 'minLength':
      return `${value} is too short`;
    case 'pattern':
      return `${value} does not match '${error.params.pattern}'`;
    case 'format':
      return `${value} is not a '${error.params.format}'`;
    case 'enum':
      return `${value} is not one of [${(error.params.allowedValues as unknown[]).map((item) => `'${item}'`).join(', ')}]`;
    case 'minimum':
      return `${value} is less than the minimum of ${error.params.limit}`;
    case 'maximum':
      return `${value} is greater than the maximum of ${error.params.limit}`;
    case 'maxItems':
      return `${value} is too long`;
    case 'minItems':
      return `${value} is too short`;
    case 'uniqueItems':
      return `${value} has non-unique elements`;
    case 'minProperties':
      return `${value} does not have enough properties`;
    case 'maxProperties':
      return `${value} has too many properties`;
    case 'anyOf':
    case 'oneOf':
      return `${value} is not valid under any of the given schemas`;
    default:
      return `${value} ${error.message ?? 'is invalid'}`;
  }
}

function quoteTypes(types: unknown): string {
  return (Array.isArray(types) ? types : String(types).split(',')).map((type) => `'${type}'`).join(', ');
}

const SECRET = /pass(word|wd)?$|^secret$|^token$/i;
const SHOWN = 200;

/** A value as it appears in a message; long ones are cut, so that an error is never larger than its request. */
function shorten(value: unknown, name = ''): string {
  const text =
    typeof value === 'string' && !SECRET.test(name) ? `'${value.slice(0, SHOWN + 1)}'` : json(value, name, SHOWN + 1);
  return text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text;
}

/**
 * The beginning of a value's JSON, about `room` characters of it: neither depth nor size of what a client sent cost more
 * than what is shown of it. Secrets are left out, since clients print and log the errors they get.
 */
function json(value: unknown, name: string, room: number): string {
  if (SECRET.test(name) && value !== null) return "'***'";
  if (typeof value === 'string') return JSON.stringify(value.slice(0, room));
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'None';
  const isList = Array.isArray(value);
  let text = isList ? '[' : '{';
  for (const key in value) {
    if (text.length > room) return text;
    const lead = `${text.length > 1 ? ',' : ''}${isList ? '' : `${JSON.stringify(key.slice(0, room))}:`}`;
    const each = (value as Readonly<Record<string, unknown>>)[key];
    text += lead + json(each, isList ? name : key, room - text.length - lead.length);
  }
  return text + (isList ? ']' : '}');
}
