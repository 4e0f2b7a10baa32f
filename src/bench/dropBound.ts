import { sizeOf } from '../engine/index.js';
import {
  matrixRole,
  modulesOf,
  type LayerDescription,
  type Model,
  type ModuleDescription,
  type WeightSpec,
} from '../models/index.js';
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

/** The part of a mixture's experts that a token visits; 1 where there are none. */
const chosenShare = (module: ModuleDescription): number =>
  module.kind === 'mixture' ? module.topK / module.experts : 1;

/** The part of a mixture's experts that some of `tokens` random tokens visit. */
const visitedShare = (module: ModuleDescription, tokens: number): number =>
  module.kind === 'mixture' ? 1 - (1 - Math.min(1, chosenShare(module))) ** tokens : 1;

/** Elements of a module's weights, each weight counted `times(path)` times. */
const elements = (
  { weights }: ModuleDescription,
  expertShare: number,
  times: (weight: WeightSpec) => number = () => 1,
): number =>
  weights.reduce(
    (sum, weight) => sum + sizeOf(weight.shape) * (weight.use === 'experts' ? expertShare : 1) * times(weight),
    0,
  );

/** Weights of the last attention that all tokens still need: its norm, keys and values. */
const readsAll = (weight: WeightSpec): boolean => ['norm', 'key', 'keyNorm', 'value'].includes(matrixRole(weight));

/**
 * Weights that run now, as the backend holds them, read by a pass over `tokens` tokens of which `asked` go on after the
 * last attention.
 */
export function weightBytes(model: Model, tokens = 1, asked = tokens): WeightBytes {
  const narrowed = model.lastAttention;
  const layers = model.layers.reduce((sum, layer) => {
    const modules = modulesOf(layer.description);
    const rows = layer.index < narrowed ? tokens : asked;
    const loaded = modules
      .filter(([kind]) => layer.isLoaded(kind))
      .reduce((held, [, module]) => held + elements(module, 1), 0);
    const read = modules
      .filter(([kind]) => !layer.skips(kind))
      .reduce((run, [, module]) => run + elements(module, visitedShare(module, rows)), 0);
    return sum + (loaded > 0 ? (layer.bytes * read) / loaded : 0);
  }, 0);
  return { layers, head: model.head.bytes };
}

/** What a test costs under the model's present skip flags. */
export function workOf(model: Model, test: BenchTest, kv: 'float32' | 'float16'): Work {
  const { config } = model;
  const { kind, tokens, batch } = test;
  const passes = kind === 'prefill' ? 1 : tokens;
  const all = batch * tokens;
  // A prefill asks for the last token of each sequence only.
  const asked = kind === 'prefill' ? batch : all;
  const weights = weightBytes(model, all / passes, asked / passes);
  const products = model.layers.reduce((sum, layer) => {
    const run = modulesOf(layer.description).filter(([of]) => !layer.skips(of));
    return run.reduce((total, [, module]) => {
      const rows = (weight: WeightSpec): number =>
        layer.index < model.lastAttention ||
        (layer.index === model.lastAttention && module.kind === 'attention' && readsAll(weight))
          ? all
          : asked;
      return total + elements(module, chosenShare(module), rows);
    }, sum);
  }, 0);
  const attending = model.layers.filter(({ skipAttention }) => !skipAttention);
  const bytesPerNumber = kv === 'float16' ? 2 : 4;
  let [keyBytes, scores] = [0, 0];
  for (const { index, description } of attending) {
    const { heads, keyValueHeads, headDim } = description.attention;
    const seen = keysOf(description, test);
    keyBytes += batch * seen.read * 2 * keyValueHeads * headDim * bytesPerNumber;
    scores += 4 * (index === model.lastAttention ? seen.last : seen.all) * heads * headDim * batch;
  }
  return {
    bytes: passes * (weights.layers + weights.head) + keyBytes,
    operations: 2 * products + 2 * config.vocabSize * config.hiddenSize * asked + scores,
  };
}

/** Keys of one sequence in one layer: seen by all its tokens together, by those of the last attention, and read. */
function keysOf(
  { attention }: LayerDescription,
  { kind, tokens, depth }: BenchTest,
): Record<'all' | 'last' | 'read', number> {
  const window = attention.window ?? Infinity;
  const all = keysSeen(depth, tokens, window);
  const isPrefill = kind === 'prefill';
  return {
    all,
    last: isPrefill ? Math.min(depth + tokens, window) : all,
    // A prefill reads keys and values from the cache once, not once a token.
    read: isPrefill ? Math.min(depth + tokens, window + tokens) : all,
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
