/** No file longer than a reader can hold. Aim below 150 lines, think at 300; here it ends. */
import { globSync, readFileSync } from 'node:fs';

const MAX_LINES = 500;

/** One line per file that is too long. Generated files are not meant to be read. */
export function oversizedFiles(): string[] {
  return globSync(['src/**/*.ts', 'test/**/*.ts', 'tools/**/*.ts', 'bench/**/*.ts'])
    .filter((file) => !file.endsWith('.gen.ts'))
    .map((file) => ({ file, lines: readFileSync(file, 'utf8').split('\n').length }))
    .filter(({ lines }) => lines > MAX_LINES)
    .map(({ file, lines }) => `${file}: ${lines} lines; the limit is ${MAX_LINES}. What are the two things in it?`);
}
