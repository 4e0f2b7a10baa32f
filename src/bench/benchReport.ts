import type { Drops } from '../models/index.js';
import type { DropBound, Work } from './dropBound.js';
import type { BenchMachine } from './benchMachine.js';
import type { Rates } from './rates.js';
import type { Statistics } from './statistics.js';

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
  /** The process's resident memory after a sample, the largest; with every variant's cache where these are kept. */
  readonly residentBytes: number;
}

export interface BenchVariantFacts {
  readonly name: string;
  readonly drop: Drops;
  readonly backend: string;
  /** Bytes of weights that a decoding step reads. */
  readonly weightBytes: number;
  /** How fast its engine reads and multiplies, measured after the samples. */
  readonly rates: Rates;
}

export interface BenchReport extends BenchMachine {
  readonly model: string;
  readonly backend: string;
  readonly tier: string;
  readonly threads: number;
  /** What else the backend says of where it computes: a GPU's name, its driver. */
  readonly device: Readonly<Record<string, string | number | boolean>>;
  readonly date: string;
  readonly kv: 'float32' | 'float16';
  readonly seed: number;
  readonly repeats: number;
  readonly excluded: readonly string[];
  readonly variants: readonly BenchVariantFacts[];
  readonly results: readonly BenchResult[];
}

/** What the timed part of a sample leaves out. */
export const excluded = ['loading', 'tokenizing', 'sampling', 'filling the cache to the depth'] as const;
