import { createServer } from 'node:http';
import { readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** WebGPU without a GPU. */
const swiftShader = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--enable-features=Vulkan'];

export const launch = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', ...swiftShader],
  });

const types = { '.html': 'text/html', '.mjs': 'text/javascript', '.js': 'text/javascript', '.css': 'text/css' };

/**
 * Serves texts by their paths, and the project's files besides, by ranges as web servers do; `isolated` by the headers
 * that let threads share memory.
 */
export async function serve(texts, { isolated, ranges = true }) {
  const isolation = { 'cross-origin-opener-policy': 'same-origin', 'cross-origin-embedder-policy': 'require-corp' };
  const server = createServer(async ({ url, headers: { range } }, response) => {
    const path = decodeURIComponent(new URL(url, 'http://localhost').pathname);
    const headers = {
      ...(isolated ? isolation : {}),
      'content-type': types[extname(path)] ?? 'application/octet-stream',
    };
    const file = join(root, path);
    const isFile = path in texts || (await stat(file).catch(() => undefined))?.isFile();
    if (!isFile) return response.writeHead(404, headers).end();
    const bytes = path in texts ? Buffer.from(texts[path]) : await readFile(file);
    const [, from, to] = (ranges && /^bytes=(\d+)-(\d+)$/.exec(range ?? '')) || [];
    if (from === undefined) return response.writeHead(200, headers).end(bytes);
    const part = bytes.subarray(Number(from), Number(to) + 1);
    response.writeHead(206, {
      ...headers,
      'content-range': `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
    });
    return response.end(part);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}
