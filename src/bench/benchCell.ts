import type { KvCache } from '../engine/index.js';
import { defaultMaxMemory, type Drops, type Model } from '../models/index.js';
import type { BenchTest } from './benchTest.js';
import { workOf, type Work } from './dropBound.js';
import { filledCache, measureTest, type MeasureOptions } from './measureTest.js';

/** A model as it is measured: variants of one model differ in their skip flags, or are models of their own. */
export interface BenchVariant {
  readonly name: string;
  readonly model: Model;
  /** @defaultValue what the model skips when the benchmark starts */
  readonly drops?: Drops;
}

/** One test of one variant, and what its samples have shown so far. */
export interface BenchCell {
  readonly variant: Required<BenchVariant>;
  readonly test: BenchTest;
  readonly samples: number[];
  /** A cache filled to the test's depth, which all samples use. */
  cache?: KvCache;
  peakBytes: number;
  residentBytes: number;
  work: Work;
  kvBytesPerToken: number;
}

export function newCell(variant: Required<BenchVariant>, test: BenchTest, kv: 'float32' | 'float16'): BenchCell {
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

/** Takes one sample of one variant. With `keep`, the cache filled for it stays for the next sample. */
export async function sample(
  cell: BenchCell,
  cells: readonly BenchCell[],
  keep: boolean,
  options: MeasureOptions,
): Promise<void> {
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

/**
 * Whether filled caches of all variants fit in memory together. Without a depth there is nothing to fill, so caches are
 * not kept.
 */
export function cachesFit(cells: readonly BenchCell[], maxMemory = defaultMaxMemory()): boolean {
  const { depth, tokens, batch } = cells[0].test;
  const engines = new Set(cells.map(({ variant }) => variant.model.engine));
  const held = [...engines].reduce((sum, engine) => sum + engine.memory().bytes, 0);
  const caches = cells.reduce((sum, { kvBytesPerToken }) => sum + kvBytesPerToken * batch * (depth + tokens), 0);
  return depth > 0 && held + caches <= maxMemory;
}
