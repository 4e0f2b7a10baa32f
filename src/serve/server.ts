import { createHash, timingSafeEqual } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isStream, type Answer } from './answer.js';
import { ApiError, apiErrorOf } from './apiError.js';
import { chat } from './chat.js';
import { completions } from './completions.js';
import { Fields, anyText } from './fields.js';
import type { ServerMetrics } from './serverMetrics.js';
import { detokenize, tokenize, tokenizerInfo } from './tokenize.js';
import type { Served } from './variant.js';

export interface ServerOptions {
  /** Clients must send it as `Authorization: Bearer KEY`. @defaultValue none is asked for */
  readonly apiKey?: string;
  /** Pages of these origins may ask, e.g. `https://example.org`. @defaultValue none */
  readonly corsOrigins?: readonly string[];
  /** Of a request's body. @defaultValue 8 MiB */
  readonly bodyBytes?: number;
  /** Seconds after which a request ends with an error. @defaultValue 600 */
  readonly timeout?: number;
  /** Connections at the same time; further ones are closed. @defaultValue 1024 */
  readonly connections?: number;
  /** Told of each request as it ends. */
  readonly onRequest?: (record: RequestRecord) => void;
}

/** A line of the request log. */
export interface RequestRecord {
  /** ISO 8601. */
  readonly time: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly seconds: number;
  readonly client: string;
  readonly model?: string;
  /** Whether the client went away before the end. */
  readonly aborted: boolean;
  readonly error?: string;
}

/** Asked by whoever watches the server, without a key. */
const open = new Set(['/health']);

/** An HTTP server of OpenAI's API before some variants of a model; the first answers where no model is named. */
export async function createServer(
  served: readonly Served[],
  metrics: ServerMetrics,
  {
    apiKey,
    corsOrigins = [],
    bodyBytes = 8 * 2 ** 20,
    timeout = 600,
    connections = 1024,
    onRequest,
  }: ServerOptions = {},
): Promise<FastifyInstance> {
  // Loaded by who serves alone: it takes as long as all else of the package together.
  const { fastify } = await import('fastify');
  const app = fastify({ bodyLimit: bodyBytes, requestTimeout: 1000 * timeout, forceCloseConnections: 'idle' });
  app.server.maxConnections = connections;
  // A page of another origin can send plain text without asking first.
  app.removeContentTypeParser('text/plain');
  const notes = new WeakMap<FastifyRequest, { model?: string; error?: string }>();
  const created = Math.floor(Date.now() / 1000);
  let underWay = 0;
  let isClosing = false;
  // Connections that wait for a request, or never sent one, would keep the server from ending for a minute.
  const closeConnections = (): void => void (isClosing && underWay === 0 && app.server.closeAllConnections());
  app.addHook('preClose', async () => {
    isClosing = true;
    closeConnections();
  });

  app.addHook('onRequest', async (request, reply) => {
    notes.set(request, {});
    underWay++;
    // Also comes where the client goes away.
    reply.raw.once('close', () => {
      const { statusCode: status, writableFinished } = reply.raw;
      metrics.answered({ route: request.routeOptions.url ?? 'other', status: String(status) });
      onRequest?.({
        time: new Date().toISOString(),
        ...{ method: request.method, path: request.url, status, seconds: reply.elapsedTime / 1000, client: request.ip },
        ...notes.get(request),
        aborted: !writableFinished,
      });
      underWay--;
      setImmediate(closeConnections);
    });
    const { origin } = request.headers;
    if (origin !== undefined && corsOrigins.includes(origin)) {
      reply.header('access-control-allow-origin', origin).header('vary', 'origin');
      if (request.method === 'OPTIONS')
        return reply
          .header('access-control-allow-methods', 'GET, POST')
          .header('access-control-allow-headers', 'authorization, content-type')
          .code(204)
          .send();
    }
    if (apiKey !== undefined && !open.has(request.url) && !isKey(request.headers.authorization, apiKey))
      throw new ApiError(401, 'the API key is wrong or missing: send it as Authorization: Bearer KEY', {
        code: 'invalid_api_key',
      });
    return undefined;
  });
  app.setErrorHandler((error, request, reply) => {
    const told = apiErrorOf(error);
    Object.assign(notes.get(request) ?? {}, {
      error: told.status === 500 && error instanceof Error ? error.message : told.message,
    });
    if (told.status === 429) reply.header('retry-after', '1');
    return reply.code(told.status).send(told.body);
  });
  app.setNotFoundHandler((request) => {
    throw new ApiError(404, `there is no ${request.method} ${request.url.slice(0, 100)}`);
  });

  const find = (name: string | undefined): Served => {
    const found = name === undefined ? served[0] : served.find((one) => one.name === name);
    if (found) return found;
    throw new ApiError(404, `there is no model ${name}: there is ${served.map((one) => one.name).join(', ')}`, {
      param: 'model',
      code: 'model_not_found',
    });
  };
  /** A route that asks a model. */
  const ask = (
    path: string,
    answer: (served: Served, fields: Fields, signal: AbortSignal) => Answer | Promise<Answer>,
  ): void => {
    app.post(path, async (request, reply) => {
      const fields = new Fields(request.body);
      const one = find(fields.maybe('model', anyText));
      Object.assign(notes.get(request) ?? {}, { model: one.name });
      const ended = new AbortController();
      const late = setTimeout(() => {
        ended.abort(new ApiError(504, `the answer took more than ${timeout} seconds`));
      }, 1000 * timeout);
      reply.raw.once('close', () => {
        clearTimeout(late);
        ended.abort(new ApiError(499, 'the client went away'));
      });
      try {
        const told = await answer(one, fields, ended.signal);
        return isStream(told) ? await sendEvents(reply, told) : told;
      } catch (error) {
        ended.abort(error); // what else the request asked for
        throw error;
      }
    });
  };
  ask('/v1/completions', completions);
  ask('/v1/chat/completions', chat);
  for (const root of ['', '/v1']) {
    ask(`${root}/tokenize`, tokenize);
    ask(`${root}/detokenize`, detokenize);
    app.get(`${root}/tokenizer_info`, () => tokenizerInfo(served[0]));
  }
  const modelOf = ({ name, drops, scheduler }: Served): object => ({
    ...{ id: name, object: 'model', created, owned_by: 'llm-drop' },
    ...{ max_model_len: scheduler.context, drop: drops },
  });
  app.get('/v1/models', () => ({ object: 'list', data: served.map(modelOf) }));
  app.get<{ Params: { name: string } }>('/v1/models/:name', ({ params }) => modelOf(find(params.name)));
  app.get('/health', () => ({ status: 'ok' }));
  app.get('/metrics', (_, reply) => reply.type('text/plain; version=0.0.4').send(metrics.text()));
  return app;
}

/** Server-sent events, until `[DONE]`; what fails on the way is the last of them. */
function sendEvents(reply: FastifyReply, events: AsyncIterable<object>): FastifyReply {
  async function* lines(): AsyncGenerator<string> {
    try {
      for await (const event of events) yield `data: ${JSON.stringify(event)}\n\n`;
      yield 'data: [DONE]\n\n';
    } catch (error) {
      yield `data: ${JSON.stringify(apiErrorOf(error).body)}\n\n`;
    }
  }
  return reply
    .type('text/event-stream; charset=utf-8')
    .header('cache-control', 'no-cache')
    .send(Readable.from(lines(), { objectMode: true }));
}

/** Compared by their hashes, in a time that tells nothing of the key. */
function isKey(authorization: string | undefined, key: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(authorization ?? ''), hash(`Bearer ${key}`));
}
