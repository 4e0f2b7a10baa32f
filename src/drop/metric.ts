import type { Accumulator, Engine, Tensor } from '../engine/index.js';

/** How alike what enters and what leaves a module are: the higher, the more redundant the module. */
export interface Metric {
  readonly name: string;
  /** Adds the sum over rows of the similarity of `a` and `b`, both [T, D], to one element of `into`. */
  measure(engine: Engine, a: Tensor, b: Tensor, into: Accumulator, index: number): void;
}

/** The paper's metric: mean cosine over all tokens. */
export const cosine: Metric = {
  name: 'cosine',
  measure: (engine, a, b, into, index) => engine.cosine(a, b, into, index),
};
