/**
 * Bundles the playground from the built package into dist/site. With --model the built-in model goes along, so that any
 * web server can serve the folder; one that sends the headers of docs/browser.md lets it compute with threads.
 */
import { build } from 'esbuild';
import { cp, mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url);
const path = (name) => fileURLToPath(new URL(name, root));

await build({
  entryPoints: [path('site/main.ts'), path('site/worker.ts')],
  outdir: path('dist/site'),
  bundle: true,
  format: 'esm',
  platform: 'browser',
  target: 'es2022',
  minify: true,
  sourcemap: process.argv.includes('--model') ? false : 'linked',
  logLevel: 'warning',
});
for (const name of ['index.html', 'style.css']) await cp(path(`site/${name}`), path(`dist/site/${name}`));
if (process.argv.includes('--model')) {
  await mkdir(path('dist/site/model'), { recursive: true });
  await cp(path('models/tiny-stories'), path('dist/site/model/tiny-stories'), { recursive: true });
  await writeFile(path('dist/site/model.json'), `${JSON.stringify({ path: 'model/tiny-stories' })}\n`);
}
