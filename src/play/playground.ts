import type { FastifyReply } from 'fastify';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isGguf, splitParts } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { byteRange } from './byteRange.js';

export interface Playground extends AsyncDisposable {
  readonly url: string;
}

/** Where the build puts the site. */
const site = fileURLToPath(new URL('../../dist/site', import.meta.url));

const siteTypes: Readonly<Record<string, string>> = {
  'index.html': 'text/html; charset=utf-8',
  'main.js': 'text/javascript; charset=utf-8',
  'worker.js': 'text/javascript; charset=utf-8',
  'style.css': 'text/css; charset=utf-8',
};

/** With these a page is cross-origin isolated, so that its threads may share memory. */
const isolation = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};

/**
 * Serves the playground with a model: a folder of Hugging Face, or a GGUF file. UserError where the address cannot be
 * listened on.
 * @param port 0 takes a free one
 */
export async function servePlayground(model: string, { port = 8088, host = '127.0.0.1' } = {}): Promise<Playground> {
  const path = resolve(model);
  const isFile = await isGguf(path);
  const folder = isFile ? dirname(path) : path;
  const parts = isFile ? splitParts(path).map((part) => basename(part)) : undefined;
  const { fastify } = await import('fastify'); // it takes as long to load as all else of the package together
  const app = fastify();
  app.addHook('onRequest', async (_, reply) => void reply.headers(isolation));

  app.get('/', async (_, reply) => sendSite(reply, 'index.html'));
  app.get<{ Params: { file: string } }>('/:file', async ({ params: { file } }, reply) => sendSite(reply, file));
  app.get('/model.json', async () => ({ path: `model/${encodeURIComponent(basename(path))}` }));
  app.get<{ Params: { name: string; file: string } }>('/model/:name/:file', async ({ params, headers }, reply) =>
    parts ? reply.callNotFound() : sendPart(reply, join(folder, basename(params.file)), headers.range),
  );
  app.get<{ Params: { file: string } }>('/model/:file', async ({ params: { file }, headers }, reply) =>
    parts?.includes(file) ? sendPart(reply, join(folder, file), headers.range) : reply.callNotFound(),
  );

  try {
    const url = await app.listen({ port, host });
    return { url, [Symbol.asyncDispose]: () => app.close() };
  } catch (error) {
    throw new UserError(`cannot listen on ${host}, port ${port}: ${(error as Error).message}`, {
      hint: 'another program may listen there: choose another port',
      cause: error,
    });
  }
}

async function sendSite(reply: FastifyReply, file: string): Promise<FastifyReply | void> {
  if (!Object.hasOwn(siteTypes, file)) return reply.callNotFound();
  return reply.type(siteTypes[file]).send(createReadStream(join(site, file)));
}

/** A file, or the part that the request asks for. */
async function sendPart(reply: FastifyReply, path: string, asked: string | undefined): Promise<FastifyReply | void> {
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) return reply.callNotFound();
  reply
    .type(extname(path) === '.json' ? 'application/json' : 'application/octet-stream')
    .header('accept-ranges', 'bytes');
  const range = byteRange(asked, found.size);
  if (range === 'outside') return reply.code(416).header('content-range', `bytes */${found.size}`).send();
  if (!range) return reply.header('content-length', found.size).send(createReadStream(path));
  const { start, end } = range;
  return reply
    .code(206)
    .headers({ 'content-range': `bytes ${start}-${end}/${found.size}`, 'content-length': end - start + 1 })
    .send(createReadStream(path, { start, end }));
}
