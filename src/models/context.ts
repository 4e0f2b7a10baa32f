import type { Batch, Engine, KvCache, Norm, Rotary, Tensor } from '../engine/index.js';
import type { ModelConfig } from './config.js';
import type { ModuleKind } from './weightMap.js';

/** A sub-layer that has run. The tensors belong to the pass: `detach` what must outlive it. */
export interface SubLayerEvent {
  /** Original layer index. */
  readonly layer: number;
  readonly kind: ModuleKind;
  /** The residual stream that entered, [T, D]. */
  readonly before: Tensor;
  /** What the sub-layer adds to it. */
  readonly delta: Tensor;
  readonly after: Tensor;
  /** The norm at the sub-layer's entrance. */
  readonly norm: Norm<Tensor>;
}

/** The one door into a running model: scoring, statistics and streaming all look through it. */
export interface Observer {
  subLayer?(event: SubLayerEvent): void;
  /** The residual stream [T, D] that enters a layer; after the last layer, with its index plus one. */
  stream?(layer: number, hidden: Tensor): void;
}

/** What a sub-layer needs of the pass that it runs in. */
export class Context {
  constructor(
    readonly engine: Engine,
    readonly config: ModelConfig,
    readonly batch: Batch,
    /** Original index of the layer that runs. */
    readonly layer: number,
    private readonly rotary: Rotary<Tensor>,
    private readonly cache?: KvCache,
    private readonly observer?: Observer,
  ) {}

  norm({ norm }: { norm: Tensor }): Norm<Tensor> {
    return { gain: norm, epsilon: this.config.rmsNormEps };
  }

  /** Rotates, appends to the cache, attends: [T, H d]. */
  attend(q: Tensor, k: Tensor, v: Tensor): Tensor {
    const { numAttentionHeads: heads, numKeyValueHeads: keyValueHeads, headDim, slidingWindow: window } = this.config;
    const spec = { heads, keyValueHeads, headDim, scale: headDim ** -0.5, rotary: this.rotary, window };
    return this.engine.attention(q, k, v, this.cache, this.layer, this.batch, spec);
  }

  /**
   * hidden + delta. Unobserved, the sub-layer adds the residual itself (`delta(hidden)`); the sum is rounded once
   * either way.
   */
  add(hidden: Tensor, kind: ModuleKind, weights: { norm: Tensor }, delta: (add?: Tensor) => Tensor): Tensor {
    using scope = this.engine.scope();
    if (!this.observer?.subLayer) return scope.keep(delta(hidden));
    const added = delta();
    const after = this.engine.add(hidden, added);
    this.observer.subLayer({ layer: this.layer, kind, before: hidden, delta: added, after, norm: this.norm(weights) });
    return scope.keep(after);
  }
}
