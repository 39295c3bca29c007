/** The bundle of `npm run package:npm`: JavaScript, since Node strips no types inside node_modules. */
import { cpSync } from 'node:fs';
import { build } from 'esbuild';

await build({
  entryPoints: { main: 'src/cli/main.ts' },
  outdir: 'dist',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node26',
  legalComments: 'none',
  // fastify and its parents are CommonJS and call `require`.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});

// The console pages are read as files, beside the script that serves them.
cpSync('src/services/consoles/web', 'dist/web', { recursive: true });
