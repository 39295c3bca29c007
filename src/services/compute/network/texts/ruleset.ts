/**
 * A table of nftables as text. It is replaced as a whole in one transaction; where only the contents of its sets changed, they alone are,
 * in one transaction too. Connections are tracked elsewhere and know nothing of either.
 */

export interface NftSet {
  readonly name: string;
  readonly kind: 'set' | 'map';
  /** What follows the opening brace: `type ipv4_addr; flags interval;`. */
  readonly type: string;
  readonly elements: readonly string[];
}

export interface Ruleset {
  readonly family: 'inet' | 'ip' | 'bridge';
  readonly table: string;
  readonly sets: readonly NftSet[];
  /** Chains, one line of the text each. */
  readonly chains: readonly string[];
}

/** Makes the table exactly so, whatever there was; null before: there may have been any. Null: nothing has changed. */
export function nftScript(wanted: Ruleset, before: Ruleset | null): string | null {
  if (!before || frame(wanted) !== frame(before)) return wholeTable(wanted);
  const { family, table } = wanted;
  const changed = wanted.sets.filter((set, index) => before.sets[index]?.elements.join() !== set.elements.join());
  if (changed.length === 0) return null;
  return changed
    .flatMap(({ name, kind, elements }) => [
      `flush ${kind} ${family} ${table} ${name}`,
      ...(elements.length === 0 ? [] : [`add element ${family} ${table} ${name} { ${elements.join(', ')} }`]),
    ])
    .map((line) => `${line}\n`)
    .join('');
}

/** Takes a table away; there is none: nothing. */
export function dropTable({ family, table }: Pick<Ruleset, 'family' | 'table'>): string {
  return `add table ${family} ${table}\ndelete table ${family} ${table}\n`;
}

/** All but the elements. */
function frame({ family, table, sets, chains }: Ruleset): string {
  return JSON.stringify([family, table, sets.map(({ name, kind, type }) => [name, kind, type]), chains]);
}

function wholeTable(wanted: Ruleset): string {
  const { family, table, sets, chains } = wanted;
  const setLines = sets.flatMap(({ name, kind, type, elements }) => [
    `${kind} ${name} {`,
    type,
    ...(elements.length === 0 ? [] : [`elements = { ${elements.join(', ')} }`]),
    '}',
  ]);
  return [`${dropTable(wanted)}table ${family} ${table} {`, ...setLines, ...chains, '}', ''].join('\n');
}

/** The lines of a chain; `hook`: what makes it one that the kernel calls. */
export function chain(name: string, rules: readonly string[], hook?: string): string[] {
  return [`chain ${name} {`, ...(hook === undefined ? [] : [hook]), ...rules, '}'];
}
