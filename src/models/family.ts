import type { GatedProjections, Projection, Tensor, Weight } from '../engine/index.js';
import type { ModelConfig } from './config.js';
import type { Context } from './context.js';
import type { WeightSpec } from './weightMap.js';

export interface AttentionWeights {
  readonly norm: Tensor;
  readonly q: Projection<Tensor, Weight>;
  readonly k: Projection<Tensor, Weight>;
  readonly v: Projection<Tensor, Weight>;
  readonly o: Projection<Tensor, Weight>;
}

export interface MlpWeights extends GatedProjections<Tensor, Weight> {
  readonly norm: Tensor;
}

export interface MoeWeights {
  readonly norm: Tensor;
  readonly router: Projection<Tensor, Weight>;
  readonly experts: GatedProjections<Tensor, Weight>;
}

/** A sub-layer: what it adds to the residual stream [T, D], and with `add`, that residual added to it. */
export type SubLayer<W> = (weights: W, hidden: Tensor, ctx: Context, add?: Tensor) => Tensor;

/** What sets a model family apart; everything else is shared. */
export interface Family<A = AttentionWeights, M = MlpWeights | MoeWeights> {
  /** `model_type` of the configs it reads. */
  readonly types: readonly string[];
  /** The checkpoint's tensors and where they go. */
  weights(config: ModelConfig): WeightSpec[];
  readonly attention: SubLayer<A>;
  readonly mlp: SubLayer<M>;
}
