/**
 * The JSON patch of Glance's two media types, as a list of changes to single attributes.
 *
 * v2.1 is RFC 6902 with `add`, `replace` and `remove`; v2.0 is an older draft where the operation is the key of the
 * path. Pointers have one level. Nothing here knows images; `patch.ts` applies the changes.
 */
import Type from 'typebox';
import { CloudError } from '#domain/errors.ts';

export const PATCH_V21 = 'application/openstack-images-v2.1-json-patch';
export const PATCH_V20 = 'application/openstack-images-v2.0-json-patch';

const OPERATIONS = ['add', 'remove', 'replace'] as const;
type Operation = (typeof OPERATIONS)[number];

export interface Change {
  readonly operation: Operation;
  readonly attribute: string;
  /** Undefined for `remove`. */
  readonly value: unknown;
  /** The older draft's `add` refuses to replace. */
  readonly isOldDraft: boolean;
}

export const PATCH_BODY = Type.Array(Type.Record(Type.String(), Type.Unknown()), {
  maxItems: 512,
  description: 'JSON patch: add, replace or remove of attributes at one level',
});

/** Throws 400 with Glance's words for what is not such a patch. */
export function parsePatch(body: readonly Readonly<Record<string, unknown>>[], mediaType: string): Change[] {
  const isOldDraft = mediaType === PATCH_V20;
  return body.map((raw) => {
    const { operation, path } = isOldDraft ? readOldDraft(raw) : readRfc6902(raw);
    if (operation !== 'remove' && !Object.hasOwn(raw, 'value'))
      bad(`Operation "${operation}" requires a member named "value".`);
    return { operation, attribute: attributeOf(path), value: raw.value, isOldDraft };
  });
}

function readRfc6902(raw: Readonly<Record<string, unknown>>) {
  const operation = OPERATIONS.find((each) => each === raw.op);
  if (!operation) bad(`Invalid operation: \`${raw.op}\`. It must be one of the following: ${OPERATIONS.join(', ')}.`);
  if (!Object.hasOwn(raw, 'path')) bad("Unable to find 'path' in JSON Schema change");
  return { operation, path: raw.path };
}

function readOldDraft(raw: Readonly<Record<string, unknown>>) {
  const found = OPERATIONS.filter((each) => Object.hasOwn(raw, each));
  const [operation] = found;
  if (!operation || found.length > 1)
    bad('Operation objects must contain exactly one member named "add", "remove", or "replace".');
  return { operation, path: raw[operation] };
}

function attributeOf(pointer: unknown): string {
  if (typeof pointer !== 'string' || !pointer.startsWith('/')) bad(`Pointer \`${pointer}\` does not start with "/".`);
  const token = pointer.slice(1);
  if (/~([^01]|$)/.test(token)) bad(`Pointer \`${pointer}\` contains "~" not part of a recognized escape sequence.`);
  const name = token.replaceAll('~1', '/').replaceAll('~0', '~').trim();
  // `/locations/-` is the one pointer with two levels that clients know; it is refused as read-only further on.
  if (token.startsWith('locations/')) return 'locations';
  if (token.includes('/') || name === '') bad(`Invalid JSON pointer for this resource: '${pointer}'`);
  return name;
}

function bad(reason: string): never {
  throw new CloudError('badRequest', { reason: reason.slice(0, 400) });
}
