import { setImmediate } from 'node:timers/promises';
import { UserError, type KvCache } from '../engine/index.js';
import type { Progress } from '../progress/index.js';
import { defaultMaxMemory, type Drops, type Model } from '../models/index.js';
import { testName, type BenchTest } from './benchTest.js';
import { dropBound, weightBytes, workOf, type DropBound, type Work } from './dropBound.js';
import { benchMachine, type BenchMachine } from './machine.js';
import { filledCache, measureTest, type MeasureOptions } from './measureTest.js';
import { RateMeter, type Rates } from './rates.js';
import { median, statistics, type Statistics } from './statistics.js';

/** A model as it is measured: variants of one model differ in their skip flags, or are models of their own. */
export interface BenchVariant {
  readonly name: string;
  readonly model: Model;
  /** @defaultValue what the model skips when the benchmark starts */
  readonly drops?: Drops;
}

export interface BenchOptions extends MeasureOptions {
  readonly tests: readonly BenchTest[];
  /** Samples of each test and variant. @defaultValue 5 */
  readonly repeats?: number;
  /** Bytes that the process may take: as long as they fit, filled caches are kept from sample to sample. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
  /** Of the result. */
  readonly model?: string;
  readonly onProgress?: Progress;
}

export interface BenchResult {
  readonly variant: string;
  /** `pp512`, `tg128`, `tg128@d2048` */
  readonly test: string;
  readonly batch: number;
  /** Over all sequences. */
  readonly tokensPerSecond: Statistics;
  /** Over the first variant: the ratio of the medians. */
  readonly speedup: number;
  /** What the test reads and computes, all its tokens together. */
  readonly work: Work;
  /** What the work saved allows, and the share of it that the speedup reaches. */
  readonly bound: DropBound & { readonly reached: number };
  readonly kvBytesPerToken: number;
  /** The most that the engine held during a sample: weights (of skipped modules too, while loaded), cache, activations. */
  readonly peakBytes: number;
  /** The process's resident memory behind the samples, the largest; with every variant's cache where these are kept. */
  readonly residentBytes: number;
}

export interface BenchVariantFacts {
  readonly name: string;
  readonly drop: Drops;
  readonly backend: string;
  /** Bytes of weights that a decoding step reads. */
  readonly weightBytes: number;
  /** Of its engine, measured behind the samples. */
  readonly rates: Rates;
}

export interface BenchReport extends BenchMachine {
  readonly model: string;
  readonly backend: string;
  readonly tier: string;
  readonly threads: number;
  readonly date: string;
  readonly kv: 'float32' | 'float16';
  readonly seed: number;
  readonly repeats: number;
  readonly excluded: readonly string[];
  readonly variants: readonly BenchVariantFacts[];
  readonly results: readonly BenchResult[];
}

/** What no sample holds. */
export const excluded = ['loading', 'tokenizing', 'sampling', 'filling the cache to the depth'] as const;

/** A short run before the samples: compilers settle, memory is touched. */
const warmUp = { prefill: Infinity, decode: 16 };

interface Cell {
  readonly variant: Required<BenchVariant>;
  readonly test: BenchTest;
  readonly samples: number[];
  /** Filled to the test's depth, for all samples. */
  cache?: KvCache;
  peakBytes: number;
  residentBytes: number;
  work: Work;
  kvBytesPerToken: number;
}

/**
 * Prefill and decoding speed of one or several variants, taken in turns: each round measures every variant once, so that
 * a busy moment of the machine strikes all alike. Skip flags are as before at the end.
 */
export async function benchmark(variants: readonly BenchVariant[], options: BenchOptions): Promise<BenchReport> {
  const { tests, repeats = 5, kv = 'float32', seed = 0, onProgress, signal } = options;
  check(variants, options);
  const before = new Map(variants.map(({ model }) => [model, model.drops]));
  const complete = variants.map((variant) => ({ ...variant, drops: variant.drops ?? variant.model.drops }));
  const rounds = tests.length * (repeats + 1) * variants.length;
  const measured: Cell[][] = [];
  let done = 0;
  try {
    for (const test of tests) {
      const cells = complete.map((variant) => newCell(variant, test, kv));
      const keep = cachesFit(cells, options);
      try {
        // Round 0 warms up.
        for (let round = 0; round <= repeats; round++)
          for (const cell of cells) {
            signal?.throwIfAborted();
            cell.variant.model.setDrops(cell.variant.drops);
            if (round === 0)
              await measureTest(
                cell.variant.model,
                { ...test, tokens: Math.min(test.tokens, warmUp[test.kind]), depth: 0 },
                { kv, seed, signal },
              );
            else await sample(cell, cells, keep, { kv, seed: seed + round, signal });
            onProgress?.(++done, rounds, 'runs');
            await setImmediate();
          }
      } finally {
        for (const { cache } of cells) cache?.dispose();
      }
      measured.push(cells);
    }
    // Last, so that what is read for it is not in any sample's memory.
    const rates = await ratesOf(complete);
    const results = measured.flatMap((cells) => cells.map((cell) => resultOf(cell, cells[0], rates)));
    return { ...describe(complete, options, rates), results };
  } finally {
    for (const [model, drops] of before) model.setDrops(drops);
  }
}

/** Whether a filled cache for each variant at a time leaves the process within its memory. An empty one is made in no time. */
function cachesFit(cells: readonly Cell[], { maxMemory = defaultMaxMemory() }: BenchOptions): boolean {
  const { depth, tokens, batch } = cells[0].test;
  const engines = new Set(cells.map(({ variant }) => variant.model.engine));
  const held = [...engines].reduce((sum, engine) => sum + engine.memory().bytes, 0);
  const caches = cells.reduce((sum, { kvBytesPerToken }) => sum + kvBytesPerToken * batch * (depth + tokens), 0);
  return depth > 0 && held + caches <= maxMemory;
}

/** Of each model's engine. */
async function ratesOf(variants: readonly Required<BenchVariant>[]): Promise<ReadonlyMap<Model, Rates>> {
  const rates = new Map<Model, Rates>();
  const meter = new RateMeter();
  for (const { model, drops } of variants) {
    if (rates.has(model)) continue;
    model.setDrops(drops);
    const { layers, head } = weightBytes(model);
    rates.set(model, await meter.measure(model, layers + head));
  }
  return rates;
}

function newCell(variant: Required<BenchVariant>, test: BenchTest, kv: 'float32' | 'float16'): Cell {
  const { model, drops } = variant;
  model.setDrops(drops);
  return {
    variant,
    test,
    samples: [],
    peakBytes: 0,
    residentBytes: 0,
    work: workOf(model, test, kv),
    kvBytesPerToken: model.kvBytesPerToken(kv),
  };
}

/** Of one of several variants that take turns; with `keep`, the cache that is filled for it serves the next one too. */
async function sample(cell: Cell, cells: readonly Cell[], keep: boolean, options: MeasureOptions): Promise<void> {
  const { variant, test } = cell;
  const { engine } = variant.model;
  const cache = cell.cache ?? (await filledCache(variant.model, test, options));
  if (keep) cell.cache = cache;
  const others = cells.filter((other) => other !== cell && other.variant.model.engine === engine);
  const othersBytes = others.reduce((sum, other) => sum + (other.cache?.bytes ?? 0), 0);
  try {
    engine.resetPeak();
    cell.samples.push(await measureTest(variant.model, test, options, cache));
    cell.peakBytes = Math.max(cell.peakBytes, engine.peakBytes - othersBytes);
    cell.residentBytes = Math.max(cell.residentBytes, process.memoryUsage.rss());
  } finally {
    if (!keep) cache.dispose();
  }
}

function resultOf(cell: Cell, first: Cell, rates: ReadonlyMap<Model, Rates>): BenchResult {
  const { variant, test, samples, peakBytes, residentBytes, kvBytesPerToken, work } = cell;
  const speedup = median(samples) / median(first.samples);
  const [own, firsts] = [variant, first.variant].map(({ model }) => rates.get(model)!);
  const bound = dropBound(first.work, work, own, firsts);
  return {
    variant: variant.name,
    test: testName(test),
    batch: test.batch,
    tokensPerSecond: statistics(samples),
    speedup,
    work,
    bound: { ...bound, reached: speedup / bound.speedup },
    kvBytesPerToken,
    peakBytes,
    residentBytes,
  };
}

function describe(
  variants: readonly Required<BenchVariant>[],
  o: BenchOptions,
  rates: ReadonlyMap<Model, Rates>,
): Omit<BenchReport, 'results'> {
  const { name, abilities } = variants[0].model.engine.backend;
  return {
    model: o.model ?? variants[0].model.parameters.folder,
    backend: name,
    tier: abilities.tier,
    threads: abilities.threads,
    ...benchMachine(),
    date: new Date().toISOString(),
    kv: o.kv ?? 'float32',
    seed: o.seed ?? 0,
    repeats: o.repeats ?? 5,
    excluded,
    variants: variants.map(({ name, model, drops }) => {
      model.setDrops(drops);
      const { layers, head } = weightBytes(model);
      const { name: backend } = model.engine.backend;
      return { name, drop: drops, backend, weightBytes: Math.round(layers + head), rates: rates.get(model)! };
    }),
  };
}

function check(variants: readonly BenchVariant[], { tests, repeats = 5 }: BenchOptions): void {
  if (variants.length === 0 || tests.length === 0)
    throw new UserError('a benchmark needs at least one variant and one test');
  if (!(repeats >= 1)) throw new UserError(`a benchmark needs at least one repeat, found ${repeats}`);
  const twice = variants.find(({ name }, i) => variants.findIndex((other) => other.name === name) < i);
  if (twice) throw new UserError(`two variants are called '${twice.name}'`);
  for (const { name, model } of variants)
    for (const test of tests) {
      const context = model.config.maxPositionEmbeddings;
      if (test.depth + test.tokens > context)
        throw new UserError(
          `${testName(test)} needs ${test.depth + test.tokens} tokens, but the context of ${name} is ${context}`,
          { hint: 'choose a smaller prompt, generation or depth' },
        );
    }
}
