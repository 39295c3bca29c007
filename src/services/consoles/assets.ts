/**
 * The files that the console pages are made of: ours, and those of noVNC and xterm from their npm packages. The list is made
 * once, and nothing that is not on it is ever opened.
 */
import { globSync } from 'node:fs';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
};

export interface Asset {
  /** Absolute path of the file. */
  readonly file: string;
  readonly contentType: string;
}

/** Pages are served on their own, with their own headers. */
export const PAGES = {
  novnc: fileURLToPath(new URL('./web/novnc.html', import.meta.url)),
  serial: fileURLToPath(new URL('./web/serial.html', import.meta.url)),
} as const;

/** By the path below `/console/assets/`. */
export function consoleAssets(): ReadonlyMap<string, Asset> {
  const novnc = dirname(dirname(entryOf('@novnc/novnc')));
  const xterm = dirname(dirname(entryOf('@xterm/xterm')));
  const fit = dirname(entryOf('@xterm/addon-fit'));
  const files: [path: string, file: string][] = [
    ...['console.css', 'link.js', 'novnc.js', 'serial.js'].map((name): [string, string] => [
      name,
      join(dirname(PAGES.novnc), name),
    ]),
    ...globSync(['core/**/*.js', 'vendor/pako/lib/**/*.js'], { cwd: novnc }).map((name): [string, string] => [
      `novnc/${name}`,
      join(novnc, name),
    ]),
    ['xterm/xterm.mjs', join(xterm, 'lib', 'xterm.mjs')],
    ['xterm/xterm.css', join(xterm, 'css', 'xterm.css')],
    ['xterm/addon-fit.mjs', join(fit, 'addon-fit.mjs')],
  ];
  return new Map(files.map(([path, file]) => [path, { file, contentType: TYPES[extname(file)] ?? 'text/plain' }]));
}

/** The file that `import` of the package would load. */
function entryOf(name: string): string {
  return fileURLToPath(import.meta.resolve(name));
}
