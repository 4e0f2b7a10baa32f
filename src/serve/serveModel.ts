import { turnEnd, type Tokenizer } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { stopTokensOf, type Drops, type Model } from '../models/index.js';
import { Scheduler, type SchedulerOptions } from './scheduler.js';
import { createServer, type ServerOptions } from './server.js';
import { ServerMetrics } from './serverMetrics.js';
import { TokenTexts } from './tokenTexts.js';
import type { Served, Variant } from './variant.js';

export interface ServeOptions
  extends ServerOptions, Pick<SchedulerOptions, 'slots' | 'context' | 'queue' | 'stepTokens'> {
  /** Names of the model, and what each skips. @defaultValue `model`, as the model is */
  readonly variants?: readonly Variant[];
  /** A Jinja chat template in place of the tokenizer's own. */
  readonly template?: string;
  /** @defaultValue 8080; 0 takes a free one */
  readonly port?: number;
  /** Where to listen. @defaultValue 127.0.0.1: this machine alone */
  readonly host?: string;
}

/** A server that listens. */
export interface ModelServer extends AsyncDisposable {
  /** e.g. http://127.0.0.1:8080 */
  readonly url: string;
  readonly served: readonly Served[];
  /** Takes no more requests, lets those under way end, and frees the caches. The model stays. */
  close(): Promise<void>;
}

/** Puts a loaded model behind OpenAI's API. UserError for options that cannot be, and for a port that is taken. */
export async function serveModel(
  { model, tokenizer }: { readonly model: Model; readonly tokenizer: Tokenizer },
  options: ServeOptions = {},
): Promise<ModelServer> {
  const { variants = [{ name: 'model', drops: model.drops }], port = 8080, host = '127.0.0.1' } = options;
  await loadFor(model, variants);
  const { slots, context, queue, stepTokens, template } = options;
  const metrics = new ServerMetrics();
  const texts = new TokenTexts(tokenizer);
  const stopTokens = stopTokensOf(model, tokenizer);
  const chatStopTokens = new Set([...stopTokens, turnEnd(tokenizer, { template }) ?? []].flat());
  const served = variants.map((variant): Served => {
    const scheduler = new Scheduler(model, {
      ...{ slots, context, queue, stepTokens, drops: variant.drops },
      ...metrics.watch(variant.name),
    });
    metrics.add(variant.name, scheduler);
    return { ...variant, model, tokenizer, texts, scheduler, template, stopTokens, chatStopTokens };
  });
  const app = await createServer(served, metrics, options);
  let closing: Promise<void> | undefined;
  const close = (): Promise<void> =>
    (closing ??= (async () => {
      const ended = app.close();
      await Promise.all(served.map(({ scheduler }) => scheduler.close()));
      await ended;
    })());
  try {
    const url = await app.listen({ port, host });
    return { url, served, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    const { code } = error as { code?: unknown };
    if (code === 'EADDRINUSE') throw new UserError(`port ${port} is taken: name another with \`port\``);
    if (code === 'EACCES' || code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
      throw new UserError(`cannot listen on ${host}, port ${port}: ${(error as Error).message}`);
    throw error;
  }
}

/** Loads what some variant needs; what all skip is never read. */
async function loadFor(model: Model, variants: readonly Variant[]): Promise<void> {
  const names = variants.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new UserError(`two variants are called ${twice}`);
  if (variants.length === 0) throw new UserError('there is no variant to serve');
  model.setDrops(droppedByAll(variants));
  await model.load();
}

/** What every variant skips. */
export const droppedByAll = (variants: readonly Variant[]): Drops => {
  const common = (of: (drops: Drops) => readonly number[]): readonly number[] =>
    of(variants[0].drops).filter((layer) => variants.every(({ drops }) => of(drops).includes(layer)));
  return { attention: common(({ attention }) => attention), mlp: common(({ mlp }) => mlp) };
};
