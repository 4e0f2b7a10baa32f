import {
  benchCsv,
  benchMarkdown,
  benchmark,
  compareResults,
  comparisonMarkdown,
  parseBenchReport,
  testsOf,
  type BenchReport,
  type BenchVariant,
  type Comparison,
} from '../../bench/index.js';
import { mergeDrops } from '../../drop/index.js';
import { UserError } from '../../engine/index.js';
import { loadModel, type Drops, type LoadedModel } from '../../models/index.js';
import { command, dropsOf, loadOptionsOf } from '../command.js';
import { readJson } from '../../jobs/jsonFiles.js';
import { choice, dropOptions, files, int, numbers, text, type Option } from '../options.js';
import { provenance, type Provenance } from '../../jobs/provenance.js';

interface Benchmark extends BenchReport, Provenance {
  /** With --compare: what became of the other report's tests. */
  readonly comparisons?: readonly Comparison[];
}

export const bench = command('bench', 'Measure how fast a model reads and writes, and what dropping gives', {
  description:
    "The tests are llama-bench's: pp512 is a prefill of 512 tokens, tg128 the decoding of 128, @d2048 after 2048 tokens in " +
    'the key-value cache. Tokens are random. With --drop-attn or --drop-mlp the model is measured whole and dropped in ' +
    'turns, and the speedup is held against the bound: how much shorter the longer of reading and computing gets, at the ' +
    'rates of products of this engine, which are measured last. Caches that are filled to a depth are kept from sample to ' +
    'sample where they fit in memory.',
  options: {
    prompt: int('tokens of a prefill; 0 leaves prefill out', 0, 512),
    generate: int('tokens to decode; 0 leaves decoding out', 0, 128),
    depth: numbers('tokens in the cache before', 0, [0]),
    batch: numbers('sequences at once', 1, [1]),
    repeats: int('samples of each test', 1, 5),
    kv: choice<'float32' | 'float16'>('type of keys and values', ['float32', 'float16'], 'float32'),
    seed: int('of the random tokens', 0, 0),
    beside: {
      ...files('other models to measure in turns with this one'),
      model: true,
    } as Option<readonly string[] | undefined>,
    ...dropOptions,
    // `json` is what --json was called here.
    format: {
      ...choice('of what is printed', ['markdown', 'csv', 'json'] as const, 'markdown'),
      value: 'markdown|csv',
    },
    compare: text('an earlier document of bench --json to compare with', 'file'),
  },
  examples: [
    ['bench Llama-3.2-1B', 'prefill and decoding from an empty cache'],
    ['bench Llama-3.2-1B --drop-attn 8-15 --depth 0,2048', 'whole and without eight attentions, in turns'],
    ['bench Llama-3.2-1B --beside smaller --batch 1,8 --kv float16', 'two models, one and eight sequences at once'],
    ['bench Llama-3.2-1B --json > now.json', 'to compare a later one with: --compare now.json'],
  ],
  run: async (o, ui) => {
    const before = o.compare === undefined ? undefined : parseBenchReport(await readJson(o.compare), o.compare);
    const tests = testsOf({ prompt: o.prompt, generate: o.generate, depths: o.depth, batches: o.batch });
    if (tests.length === 0) throw new UserError('--prompt 0 and --generate 0 leave nothing to measure');
    const load = { ...loadOptionsOf(o), drops: undefined };
    await using model = await loadModel(o.model, {
      ...load,
      onProgress: ui.progress('loading'),
    });
    const others: LoadedModel[] = [];
    try {
      for (const path of o.beside ?? [])
        others.push(
          await loadModel(path, { ...load, engine: model.engine, onProgress: ui.progress(`loading ${path}`) }),
        );
      const report = await benchmark(variantsOf(model, dropsOf(o), others), {
        ...o,
        tests,
        model: o.model,
        onProgress: ui.progress('measuring'),
        signal: ui.signal,
      });
      const result: Benchmark = {
        ...report,
        ...provenance(model),
        ...(before && { comparisons: compareResults(before, report) }),
      };
      ui.show(result, (r) => forms[o.format](r));
    } finally {
      for (const other of others) await other.close();
    }
  },
});

/** The model, then without what is dropped besides, then other models. */
function variantsOf(model: LoadedModel, drops: Drops, others: readonly LoadedModel[]): BenchVariant[] {
  const own = { name: nameOf(model.drops), model };
  const without = mergeDrops(model.drops, drops);
  return [
    own,
    ...(nameOf(without) === own.name ? [] : [{ name: nameOf(without), model, drops: without }]),
    ...others.map((other) => ({ name: other.source.folder, model: other })),
  ];
}

/** `whole`, or `without attention 3 5, mlp 2`. */
function nameOf(drops: Drops): string {
  const dropped = (['attention', 'mlp'] as const).filter((kind) => drops[kind].length);
  return dropped.length ? `without ${dropped.map((kind) => `${kind} ${drops[kind].join(' ')}`).join(', ')}` : 'whole';
}

const compared = ({ comparisons }: Benchmark): string[] =>
  comparisons ? ['', ...comparisonMarkdown(comparisons)] : [];

const forms: Record<'markdown' | 'csv' | 'json', (r: Benchmark) => string[]> = {
  markdown: (r) => [...benchMarkdown(r), ...compared(r)],
  csv: (r) => benchCsv(r),
  json: (r) => [JSON.stringify(r, null, 2)],
};
