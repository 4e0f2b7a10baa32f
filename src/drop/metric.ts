import type { Accumulator, Engine, Tensor } from '../engine/index.js';

/**
 * How alike what enters and what leaves a module are: the higher, the more redundant the module. A metric is a
 * function of one token's vectors a and b by their products; the score is its mean over all tokens.
 */
export interface Metric {
  readonly name: string;
  /** From a.b, a.a and b.b. */
  similarity(dot: number, aa: number, bb: number): number;
  /** The same as one kernel: adds the sum over the rows of a and b, both [T, D], to an element. */
  fused?(engine: Engine, a: Tensor, b: Tensor, into: Accumulator, index: number): void;
}

const floor = 1e-8;
const cosineOf = (dot: number, aa: number, bb: number): number =>
  dot / (Math.max(Math.sqrt(aa), floor) * Math.max(Math.sqrt(bb), floor));

/** The paper's metric. */
export const cosine: Metric = {
  name: 'cosine',
  similarity: cosineOf,
  fused: (engine, a, b, into, index) => engine.cosine(a, b, into, index),
};

/** 1 - arccos(cos) / pi: one less the angular distance (Gromov et al., 2024), over all tokens. */
export const angular: Metric = {
  name: 'angular',
  similarity: (dot, aa, bb) => 1 - Math.acos(Math.min(1, Math.max(-1, cosineOf(dot, aa, bb)))) / Math.PI,
};

/** -|b - a| / |a|: the update's size relative to what it updates. */
export const relativeNorm: Metric = {
  name: 'relative-norm',
  similarity: (dot, aa, bb) => -Math.sqrt(Math.max(0, bb - 2 * dot + aa)) / Math.max(Math.sqrt(aa), floor),
};

export const metrics: readonly Metric[] = [cosine, angular, relativeNorm];

/** Undefined for a name of none, such as a score that is no similarity. */
export const metricNamed = (wanted: string | null): Metric | undefined => metrics.find(({ name }) => name === wanted);
