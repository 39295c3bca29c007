/**
 * The small language in which extra specs of flavors say what they want: `>= 4`, `s== QEMU`, `<or> a <or> b`; without an
 * operator the very value. Source: Nova's extra_specs_ops.
 */

/** A value that a host has, and what was asked of it. */
type Operator = (value: string, wanted: readonly string[]) => boolean;

const numbers =
  (compare: (a: number, b: number) => boolean): Operator =>
  (value, [wanted]) =>
    compare(Number(value), Number(wanted ?? Number.NaN));

const strings =
  (compare: (a: string, b: string) => boolean): Operator =>
  (value, [wanted]) =>
    wanted !== undefined && compare(value, wanted);

/** Nova's `=` is "at least", for what it was first used for. */
const OPERATORS: Readonly<Record<string, Operator>> = {
  '=': numbers((a, b) => a >= b),
  '==': numbers((a, b) => a === b),
  '!=': numbers((a, b) => a !== b && !Number.isNaN(b)),
  '>=': numbers((a, b) => a >= b),
  '<=': numbers((a, b) => a <= b),
  's==': strings((a, b) => a === b),
  's!=': strings((a, b) => a !== b),
  's<': strings((a, b) => a < b),
  's<=': strings((a, b) => a <= b),
  's>': strings((a, b) => a > b),
  's>=': strings((a, b) => a >= b),
  '<in>': strings((a, b) => a.includes(b)),
  '<all-in>': (value, wanted) => wanted.length > 0 && wanted.every((each) => value.includes(each)),
  '<or>': (value, wanted) => wanted.some((each) => each !== '<or>' && each === value),
};

export function matchesSpec(value: string, wanted: string): boolean {
  const [name = '', ...words] = wanted.trim().split(/\s+/);
  const operator = Object.hasOwn(OPERATORS, name) ? OPERATORS[name] : undefined;
  return operator ? operator(value, words) : value === wanted;
}
