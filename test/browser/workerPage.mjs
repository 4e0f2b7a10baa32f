import { build } from 'esbuild';
import { fileURLToPath } from 'node:url';
import { launch, serve } from './chromium.mjs';

const html = '<!doctype html><meta charset="utf-8"><title>llm-drop</title><link rel="icon" href="data:," />';

/** The bundle of `calls.worker.mjs`, for browsers. */
export async function workerBundle() {
  const entryPoints = [fileURLToPath(new URL('calls.worker.mjs', import.meta.url))];
  const { outputFiles } = await build({
    entryPoints,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    write: false,
    target: 'es2022',
  });
  return outputFiles[0].text;
}

/** A page whose worker runs functions of `calls.mjs`. */
export async function openWorkerPage(options) {
  const server = await serve({ '/': html, '/page.html': html, '/worker.js': await workerBundle() }, options);
  const browser = await launch();
  const page = await browser.newPage();
  const warnings = [];
  page.on('console', (message) => message.type() === 'warning' && warnings.push(message.text()));
  await page.goto(`${server.origin}/page.html`);
  const call = (name, options) =>
    page.evaluate(
      ([name, options]) =>
        new Promise((resolve, reject) => {
          const worker = new Worker('/worker.js', { type: 'module' });
          worker.addEventListener('error', ({ message }) => reject(new Error(message)));
          worker.addEventListener('message', ({ data: { result, error } }) => {
            worker.terminate();
            if (error === undefined) resolve(result);
            else reject(new Error(error));
          });
          worker.postMessage({ name, options });
        }),
      [name, options],
    );
  const close = async () => {
    await browser.close();
    server.close();
  };
  return { call, close, warnings, origin: server.origin };
}
