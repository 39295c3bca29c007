/** The generated pages of `docs/reference`, and whether the files are what the source says now. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { apiPage, openApiDocument } from './api.ts';
import { configPage } from './config.ts';
import { contractsPage } from './contracts.ts';
import { errorsPage } from './errors.ts';
import { metricsPage } from './metrics.ts';
import { operationsPage } from './operations.ts';
import { guideProblems, operationsGuide, tracesIn } from './operations-guide.ts';
import { statesPage } from './states.ts';

const FOLDER = 'docs/reference';
/** Its traces are of real runs; the rest of it must be current. */
const GUIDE = 'docs/guide/operations.md';

const PAGES: Readonly<Record<string, () => string>> = {
  'api.md': apiPage,
  'openapi.json': openApiDocument,
  'states.md': statesPage,
  'operations.md': operationsPage,
  'contracts.md': contractsPage,
  'errors.md': errorsPage,
  'config.md': configPage,
  'metrics.md': metricsPage,
};

/** One line per page that is missing or differs from what would be generated. */
export function outdatedDocs(): string[] {
  const pages = Object.entries(PAGES).flatMap(([name, generate]) => {
    const path = join(FOLDER, name);
    return existsSync(path) && readFileSync(path, 'utf8') === generate() ? [] : [`${path} is not current`];
  });
  const guide = existsSync(GUIDE) ? guideProblems(readFileSync(GUIDE, 'utf8')) : ['it is missing'];
  return [...pages, ...guide.map((problem) => `${GUIDE}: ${problem} (npm run docs:operations)`)];
}

export function writeDocs(): void {
  for (const [name, generate] of Object.entries(PAGES)) {
    const path = join(FOLDER, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, generate());
  }
  // With the traces that it has.
  if (existsSync(GUIDE)) writeFileSync(GUIDE, operationsGuide(tracesIn(readFileSync(GUIDE, 'utf8'))));
}
