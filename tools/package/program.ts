/** What the package has of the program: sources, the libraries that they need, and the Node that runs them. */
import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Lock {
  readonly packages: Readonly<Record<string, { readonly dev?: boolean }>>;
}

/** Of Node only what runs: its headers and its npm are as large again. */
const OF_NODE = ['bin/node', 'LICENSE', 'package.json'];
const OURS = ['bin', 'package.json', 'README.md', 'LICENSE'];

/** Copies it into a folder. Throws where `node_modules` lacks this machine's Node. */
export function copyProgram(to: string): void {
  for (const each of OURS) cpSync(each, join(to, each), { recursive: true });
  cpSync('src', join(to, 'src'), { recursive: true, filter: (path) => !path.endsWith('.test.ts') });
  const modules = productionModules();
  if (!modules.some(isNode)) throw new Error("node_modules has no Node: run 'npm run setup' first");
  for (const each of modules) {
    const files = isNode(each) ? OF_NODE : [''];
    for (const file of files) {
      const from = join(each, file);
      // A library's own libraries are listed by themselves.
      const filter = (path: string) => !path.slice(from.length).includes('/node_modules');
      if (existsSync(from)) cpSync(from, join(to, from), { recursive: true, filter });
    }
  }
}

/** As the lock says; those for other systems are listed and not there. */
function productionModules(): string[] {
  const { packages } = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock;
  return Object.entries(packages)
    .filter(([path, { dev }]) => path !== '' && dev !== true && existsSync(path))
    .map(([path]) => path);
}

function isNode(path: string): boolean {
  return /^node_modules\/node-(bin|linux)-/.test(path);
}
