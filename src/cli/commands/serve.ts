import { basename } from 'node:path';
import { once } from 'node:events';
import { loadTextModel } from '../../jobs/textModel.js';
import type { Drops } from '../../models/index.js';
import { droppedByAll, openRequestLog, serveModel, type ModelServer, type Variant } from '../../serve/index.js';
import { command, loadOptionsOf } from '../command.js';
import { chatOptions, chatRenamed, openingOf } from '../chatOptions.js';
import { dropOptions, int, text, type Option } from '../options.js';
import { formatBytes } from '../units.js';
import { parseVariant } from '../variant.js';

export const serve = command('serve', "Put a model behind OpenAI's HTTP API", {
  description:
    'Completions, chats and tokens at /v1, for many clients at the same time: texts that begin alike share what was ' +
    'computed. Only programs of this machine can ask unless --host names another address. Ctrl-C and SIGTERM let what is ' +
    'under way end. docs/serving.md tells what is answered, and how lm-eval measures a model through it.',
  options: {
    port: int('where to listen; 0 takes a free one', 0, 8080),
    host: text('address to listen on (default: 127.0.0.1)', 'address'),
    name: text('what clients call the model (default: its folder or file)'),
    variant: {
      description:
        'a name under which the model answers, and what it drops then: NAME or NAME=--drop-attn:LAYERS,--drop-mlp:LAYERS',
      value: 'variant',
      variadic: true,
    } as Option<readonly string[] | undefined>,
    chatTemplate: chatOptions.chatTemplate,
    slots: int('texts that run at the same time, of each variant', 1, 16),
    context: int("tokens of a text at most (default: the model's, at most 2048)", 2),
    queue: int('texts that wait at most; further requests get status 429', 1, 1024),
    stepTokens: int('tokens of prompts that run between two tokens of other texts at most', 1, 256),
    apiKey: text('clients must send it (default: the environment’s LLM_DROP_API_KEY, if it is set)', 'key'),
    cors: {
      description: 'pages of this origin may ask, e.g. https://example.org',
      value: 'origin',
      variadic: true,
    } as Option<readonly string[] | undefined>,
    timeout: int('seconds after which a request ends', 1, 600),
    log: text('add a line of JSON for each request to this file', 'file'),
    ...dropOptions,
  },
  renamed: chatRenamed,
  examples: [
    ['serve SmolLM2-360M-Instruct', 'at http://127.0.0.1:8080/v1'],
    ['serve SmolLM2-360M-Instruct --drop-attn 20-23 --int4 --port 9000', 'without four attentions, in 4 bits'],
    [
      'serve SmolLM2-360M-Instruct --variant whole --variant drop4=--drop-attn:20-23',
      'both, from the same weights: the request names the model',
    ],
    ['serve SmolLM2-360M-Instruct --slots 32 --context 1024 --log requests.jsonl', 'for many short texts'],
  ],
  run: async (o, ui) => {
    const { template } = await openingOf({ system: undefined, chatTemplate: o.chatTemplate });
    const name = o.name ?? basename(o.model).replace(/\.gguf$/, '');
    const extra = (o.variant ?? [name]).map(parseVariant);
    const load = loadOptionsOf(o);
    const drops = joined(load.drops ?? {}, droppedByAll(extra));
    await using loaded = await loadTextModel(o.model, { ...load, drops, ...ui.job });
    const { model } = loaded;
    await using log = o.log === undefined ? undefined : await openRequestLog(o.log);
    const variants = extra.map((variant): Variant => ({ ...variant, drops: joined(model.drops, variant.drops) }));
    await using server = await serveModel(loaded, {
      ...{ variants, port: o.port, host: o.host, slots: o.slots, context: o.context },
      ...{ queue: o.queue, stepTokens: o.stepTokens, timeout: o.timeout, corsOrigins: o.cors, template },
      apiKey: o.apiKey ?? process.env.LLM_DROP_API_KEY,
      onRequest: log && ((record) => log.add(record)),
    });
    ui.show(
      {
        url: server.url,
        models: server.served.map(({ name: id, drops: drop, scheduler }) => ({
          id,
          drop,
          slots: scheduler.slots,
          context: scheduler.context,
        })),
      },
      () => [describe(server)],
    );
    if (!ui.signal.aborted) await once(ui.signal, 'abort');
    ui.note('what is under way ends; once more to end at once');
  },
});

const describe = ({ url, served }: ModelServer): string => {
  const [{ scheduler }] = served;
  const bytes = served.reduce((sum, one) => sum + one.scheduler.cacheBytes, 0);
  const names = served.map(({ name }) => name).join(', ');
  const each = served.length > 1 ? ' each' : '';
  return `${names} at ${url}/v1, ${scheduler.slots} slots of ${scheduler.context} tokens${each}: ${formatBytes(bytes)} of keys and values`;
};

const joined = (a: Partial<Drops>, b: Partial<Drops>): Drops => ({
  attention: [...new Set([...(a.attention ?? []), ...(b.attention ?? [])])],
  mlp: [...new Set([...(a.mlp ?? []), ...(b.mlp ?? [])])],
});
