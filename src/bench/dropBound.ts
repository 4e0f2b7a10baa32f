import { sizeOf } from '../engine/index.js';
import { moduleSpecs, type Model, type ModuleKind } from '../models/index.js';
import type { BenchTest } from './benchTest.js';
import type { Rates } from './rates.js';

/** What one test must move and compute at least, all its tokens together. */
export interface Work {
  /** Weights read once a pass, and keys and values read once a token that sees them. */
  readonly bytes: number;
  /** Multiplications and additions. */
  readonly operations: number;
}

/** Bytes of a model's weights that a decoding step reads: of the modules that run, and of the head. */
export interface WeightBytes {
  readonly layers: number;
  readonly head: number;
}

/** Of one token, or of all experts that `tokens` random tokens visit of a mixture. */
function share({ config }: Model, tokens: number): number {
  const { numLocalExperts: experts, numExpertsPerTok: chosen = 2 } = config;
  return experts ? 1 - (1 - Math.min(1, chosen / experts)) ** tokens : 1;
}

/** Elements of a module's weights, each as often as `times` says. */
function elements(model: Model, kind: ModuleKind, expertShare: number, times = (_path: string) => 1): number {
  return moduleSpecs(model.specs, kind).reduce(
    (sum, { path, shape, use }) => sum + sizeOf(shape) * (use === 'experts' ? expertShare : 1) * times(path),
    0,
  );
}

const kinds = ['attention', 'mlp'] as const;

/** What reads all tokens in the last attention still: its norm, keys and values. */
const readsAll = /^attention\.(norm|[kv]\.)/;

/**
 * Weights that run now, as the backend holds them, read by a pass over `tokens` tokens of which `asked` go on after the
 * last attention.
 */
export function weightBytes(model: Model, tokens = 1, asked = tokens): WeightBytes {
  const narrowed = model.lastAttention;
  const layers = model.layers.reduce((sum, layer) => {
    const loaded = kinds
      .filter((kind) => layer.isLoaded(kind))
      .reduce((held, kind) => held + elements(model, kind, 1), 0);
    const read = kinds
      .filter((kind) => !layer.skips(kind))
      .reduce((run, kind) => run + elements(model, kind, share(model, layer.index < narrowed ? tokens : asked)), 0);
    return sum + (loaded > 0 ? (layer.bytes * read) / loaded : 0);
  }, 0);
  return { layers, head: model.head.bytes };
}

/** What a test costs under the model's present skip flags. */
export function workOf(model: Model, test: BenchTest, kv: 'float32' | 'float16'): Work {
  const { config } = model;
  const { kind, tokens, depth, batch } = test;
  const window = config.slidingWindow ?? Infinity;
  const passes = kind === 'prefill' ? 1 : tokens;
  const all = batch * tokens;
  // Of a prefill the last token of each sequence alone is asked for.
  const asked = kind === 'prefill' ? batch : all;
  const weights = weightBytes(model, all / passes, asked / passes);
  const seen = keysSeen(depth, tokens, window);
  const seenLast = kind === 'prefill' ? Math.min(depth + tokens, window) : seen;
  // A prefill reads keys and values from the cache once, not once a token.
  const keysRead = kind === 'prefill' ? Math.min(depth + tokens, window + tokens) : seen;
  const attending = model.layers.filter(({ skipAttention }) => !skipAttention).length;
  const chosen = config.numLocalExperts ? (config.numExpertsPerTok ?? 2) / config.numLocalExperts : 1;
  const products = model.layers.reduce((sum, layer) => {
    const rows = (path: string): number =>
      layer.index < model.lastAttention || (layer.index === model.lastAttention && readsAll.test(path)) ? all : asked;
    const run = kinds.filter((kind) => !layer.skips(kind));
    return run.reduce((total, kind) => total + elements(model, kind, chosen, rows), sum);
  }, 0);
  const scores = attending > 0 ? (attending - 1) * seen + seenLast : 0;
  return {
    bytes: passes * (weights.layers + weights.head) + batch * keysRead * model.kvBytesPerToken(kv),
    operations:
      2 * products +
      2 * config.vocabSize * config.hiddenSize * asked +
      4 * scores * config.numAttentionHeads * config.headDim * batch,
  };
}

/** Keys that all of `tokens` tokens after `depth` see together, each at most `window`. */
function keysSeen(depth: number, tokens: number, window: number): number {
  let seen = 0;
  for (let i = 0; i < tokens; i++) seen += Math.min(depth + i + 1, window);
  return seen;
}

/** How much faster less work can be. */
export interface DropBound {
  /** Bytes of the first variant over bytes of this one. */
  readonly bytes: number;
  readonly operations: number;
  /** What takes this variant's time at the measured rates. */
  readonly limit: 'bytes' | 'operations';
  /** What the speedup is held against: the first variant's least time over this one's. */
  readonly speedup: number;
}

/** Seconds that work takes at least: the longer of reading and computing, which go on at the same time. */
export const leastSeconds = ({ bytes, operations }: Work, rates: Rates): number =>
  Math.max(bytes / rates.bytesPerSecond, operations / rates.operationsPerSecond);

/**
 * The bound for dropping (the roofline of Williams et al., 2009). A decoding step reads every weight and every key and
 * value for a handful of operations each, so that reading takes its time; a prefill uses each weight for all its tokens,
 * and a step of many sequences for each of them, until operations do.
 */
export function dropBound(whole: Work, dropped: Work, rates: Rates, wholeRates = rates): DropBound {
  const { bytes, operations } = dropped;
  return {
    bytes: whole.bytes / bytes,
    operations: whole.operations / operations,
    limit: bytes / rates.bytesPerSecond >= operations / rates.operationsPerSecond ? 'bytes' : 'operations',
    speedup: leastSeconds(whole, wholeRates) / leastSeconds(dropped, rates),
  };
}
