/** JSON as clients may send it, which is more than `JSON.stringify` can write: numbers beyond all types, keys twice. */
import type { Prng } from './prng.ts';

/** Text that goes into the JSON as it is. */
export class Raw {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Json = string | number | boolean | null | Raw | readonly Json[] | { readonly [key: string]: Json };

/** Writes `value`; a key `__proto__` is written like any other. */
export function toText(value: Json): string {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map(toText).join(',')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, each]) => `${JSON.stringify(key)}:${toText(each)}`)
      .join(',')}}`;
  return JSON.stringify(value);
}

type Path = readonly (string | number)[];

function pathsOf(value: Json, path: Path = []): Path[] {
  if (typeof value !== 'object' || value === null || value instanceof Raw) return [path];
  return [path, ...Object.entries(value).flatMap(([key, each]) => pathsOf(each, [...path, key]))];
}

function changed(value: Json, path: Path, change: (value: Json) => Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return change(value);
  if (Array.isArray(value))
    return value.map((each, index) => (index === Number(key) ? changed(each, rest, change) : each));
  const object = value as Readonly<Record<string, Json>>;
  return Object.fromEntries(
    Object.entries(object).map(([name, each]) => [name, name === key ? changed(each, rest, change) : each]),
  );
}

/** `value` with one thing wrong in it: another value somewhere, a key too many, one too few, one twice. */
export function broken(value: Json, hostile: readonly Json[], random: Prng): Json {
  const path = random.pick(pathsOf(value));
  return changed(value, path, (before) => {
    const isObject =
      typeof before === 'object' && before !== null && !Array.isArray(before) && !(before instanceof Raw);
    const entries = isObject ? Object.entries(before) : [];
    switch (random.below(isObject ? 6 : 3)) {
      case 0:
      case 1:
        return random.pick(hostile);
      case 2:
        return [before, before];
      case 3:
        return Object.fromEntries(entries.filter(([key]) => key !== entries[random.below(entries.length)]?.[0]));
      case 4:
        return new Raw(withKey(entries, random.pick(KEYS), random.pick(hostile)));
      default:
        return new Raw(withKey(entries, entries[0]?.[0] ?? 'key', random.pick(hostile)));
    }
  });
}

const KEYS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'unknown',
  '',
  '\u0000',
  '$ref',
  'a'.repeat(5000),
  '\ud800',
];

function withKey(entries: readonly (readonly [string, Json])[], key: string, value: Json): string {
  return `{${[...entries, [key, value] as const].map(([name, each]) => `${JSON.stringify(name)}:${toText(each)}`).join(',')}}`;
}
