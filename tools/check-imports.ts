/**
 * Which folder may import which, as data; a violation names the line and the rule. Type-only imports count too.
 *
 * A folder may always import its own files, npm packages and Node itself. Tests may import anything.
 */
import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';

/** The longest prefix that fits a file is its rule; a listed path is a folder, or one file. */
const MAY_IMPORT: Readonly<Record<string, readonly string[] | 'anything'>> = {
  'src/domain': [],
  'src/schema': [],
  'src/observe': [],
  'src/contracts': ['src/domain'],
  'src/config': ['src/schema'],
  'src/bus': ['src/domain', 'src/contracts', 'src/observe', 'src/schema'],
  'src/http': ['src/domain', 'src/observe', 'src/schema'],
  'src/journal': ['src/domain', 'src/observe', 'src/schema'],
  'src/db': ['src/domain', 'src/observe', 'src/journal/store.ts', 'src/journal/define.ts'],
  'src/backup': ['src/domain', 'src/schema', 'src/db'],
  'src/operations': ['src/domain', 'src/contracts', 'src/journal/define.ts'],
  'src/services/api': ['src/domain', 'src/contracts', 'src/bus', 'src/http', 'src/observe', 'src/schema', 'src/db'],
  'src/services/conductor': [
    'src/domain',
    'src/contracts',
    'src/bus',
    'src/http',
    'src/observe',
    'src/schema',
    'src/db',
    'src/journal',
    'src/operations',
  ],
  'src/services/scheduler': ['src/domain', 'src/contracts', 'src/bus', 'src/observe', 'src/db'],
  'src/services/health': ['src/observe', 'src/db'],
  'src/services/heartbeat': ['src/observe', 'src/db'],
  'src/services/consoles': ['src/domain', 'src/http', 'src/observe', 'src/db'],
  'src/services/identity': ['src/domain', 'src/http', 'src/observe', 'src/schema', 'src/db'],
  'src/services/network': ['src/domain', 'src/http', 'src/observe', 'src/schema', 'src/db'],
  'src/services/image': ['src/domain', 'src/http', 'src/observe', 'src/schema', 'src/db'],
  // An agent has no database: it must run on another machine tomorrow.
  'src/services/compute': ['src/domain', 'src/contracts', 'src/bus', 'src/http', 'src/observe', 'src/schema'],
  'src/services/compute/driver': ['src/domain'],
  'src/cli': 'anything',
  'src/roles': 'anything',
  'src/local': [],
  'src/main.ts': 'anything',
};

/** Packages and modules that only one file may import; the others go through it. */
const ONLY_IN: Readonly<Record<string, string>> = {
  pg: 'src/db/postgres.ts',
  'node:sqlite': 'src/db/sqlite.ts',
  'prom-client': 'src/observe/prometheus.ts',
  '@opentelemetry/api': 'src/observe/otel.ts',
};

/** Test harnesses that live beside what they test. */
const EXEMPT = /(\.test\.ts|-harness\.ts|\/harness\.ts|\/conformance\.ts|\/testing\/.*)$/;

const IMPORT =
  /^\s*(?:import|export)\b[^'"]*?from\s+['"]([^'"]+)['"]|^\s*import\s+['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** One line per import that its folder may not have. */
export function importViolations(): string[] {
  return globSync('src/**/*.ts')
    .filter((file) => !EXEMPT.test(file))
    .flatMap((file) => {
      const rule = ruleFor(file);
      if (!rule) return [`${file}: no rule for this folder in tools/check-imports.ts`];
      const foreign = targetsOf(file).filter(({ target }) => (ONLY_IN[target] ?? file) !== file);
      const misplaced = foreign.map(
        ({ target, line }) => `${file}:${line}: only ${ONLY_IN[target]} may import ${target} (tools/check-imports.ts)`,
      );
      const allowed = MAY_IMPORT[rule];
      if (allowed === 'anything') return misplaced;
      const outside = targetsOf(file)
        .filter(({ target }) => target.startsWith('src/'))
        .filter(({ target }) => !isWithin(target, rule) && !allowed?.some((each) => isWithin(target, each)))
        .map(({ target, line }) => `${file}:${line}: ${rule} may not import ${target} (tools/check-imports.ts)`);
      return [...misplaced, ...outside];
    });
}

function ruleFor(file: string): string | undefined {
  return Object.keys(MAY_IMPORT)
    .filter((prefix) => isWithin(file, prefix))
    .toSorted((a, b) => b.length - a.length)[0];
}

function isWithin(path: string, prefix: string): boolean {
  return path === prefix || path.startsWith(`${prefix}/`);
}

function targetsOf(file: string): { target: string; line: number }[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(IMPORT)].flatMap((match) => {
    const specifier = match[1] ?? match[2] ?? match[3] ?? '';
    const line = text.slice(0, match.index).split('\n').length;
    if (specifier.startsWith('#')) return [{ target: join('src', specifier.slice(1)), line }];
    if (specifier.startsWith('.')) return [{ target: normalize(join(dirname(file), specifier)), line }];
    return [{ target: specifier, line }];
  });
}
