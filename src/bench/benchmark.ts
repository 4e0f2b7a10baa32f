import { setImmediate } from 'node:timers/promises';
import { UserError, checkOptions, whole } from '../engine/index.js';
import { memoryOption, type Model } from '../models/index.js';
import type { Progress } from '../progress/index.js';
import { cachesFit, newCell, sample, type BenchCell, type BenchVariant } from './benchCell.js';
import { excluded, type BenchReport, type BenchResult } from './benchReport.js';
import { benchTest, testName, type BenchTest } from './benchTest.js';
import { dropBound, weightBytes } from './dropBound.js';
import { benchMachine } from './benchMachine.js';
import { measureOptions, measureTest, type MeasureOptions } from './measureTest.js';
import { RateMeter, type Rates } from './rates.js';
import { median, statistics } from './statistics.js';

export interface BenchOptions extends MeasureOptions {
  readonly tests: readonly BenchTest[];
  /** Samples of each test and variant. @defaultValue 5 */
  readonly repeats?: number;
  /** Bytes that the process may take: as long as they fit, filled caches are kept from sample to sample. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
  /** Name of the model in the report. @defaultValue the first model's folder */
  readonly model?: string;
  readonly onProgress?: Progress;
}

/** A short run before the samples: compilers settle, memory is touched. */
const warmUp = { prefill: Infinity, decode: 16 };

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
  const measured: BenchCell[][] = [];
  let done = 0;
  try {
    for (const test of tests) {
      const cells = complete.map((variant) => newCell(variant, test, kv));
      const keep = cachesFit(cells, options.maxMemory);
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
            else await sample(cell, cells, keep, { kv, seed: (seed + round) % 2 ** 32, signal });
            onProgress?.(++done, rounds, 'runs');
            await setImmediate();
          }
      } finally {
        for (const { cache } of cells) cache?.dispose();
      }
      measured.push(cells);
    }
    // Measured last, so that the memory it takes is counted in no sample.
    const rates = await ratesOf(complete);
    const results = measured.flatMap((cells) => cells.map((cell) => resultOf(cell, cells[0], rates)));
    return { ...describe(complete, options, rates), results };
  } finally {
    for (const [model, drops] of before) model.setDrops(drops);
  }
}

/** The rates of each model's engine. */
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

function resultOf(cell: BenchCell, first: BenchCell, rates: ReadonlyMap<Model, Rates>): BenchResult {
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
  const { tier, threads, ...device } = abilities;
  return {
    model: o.model ?? variants[0].model.parameters.folder,
    backend: name,
    tier,
    threads,
    device,
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

function check(variants: readonly BenchVariant[], options: BenchOptions): void {
  checkOptions(options, { ...measureOptions, repeats: whole(1), maxMemory: memoryOption });
  const { tests } = options;
  for (const test of tests) checkOptions(test, benchTest);
  if (variants.length === 0 || tests.length === 0)
    throw new UserError('a benchmark needs at least one variant and one test');
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
