import {
  lastRows,
  type Accumulator,
  type Batch,
  type Engine,
  type ExpertTally,
  type Fusion,
  type GatedProjections,
  type KvCache,
  type MoeSpec,
  type Norm,
  type Projection,
  type Tensor,
  type Weight,
} from '../engine/index.js';
import type { AttentionDescription, ModuleDescription } from './description.js';
import type { Rotaries } from './rotaryTables.js';
import type { Slopes } from './slopes.js';
import type { ModuleKind } from './weights.js';

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
  /** The norm at the sub-layer's entrance, where it has one. */
  readonly norm?: Norm<Tensor>;
}

/** What enters projections of a sub-layer. The tensor belongs to the pass. */
export interface InputEvent {
  /** Original layer index. */
  readonly layer: number;
  /** The `projection`s that read it: ['attention.q', 'attention.k', 'attention.v']. */
  readonly paths: readonly string[];
  /** [T, in], normed where the projections read it so; of a mixture, all tokens, whatever experts they visit. */
  readonly input: Tensor;
}

/** The one door into a running model: scoring, statistics and streaming all look through it. */
export interface Observer {
  subLayer?(event: SubLayerEvent): void;
  input?(event: InputEvent): void;
  /** Where the mixture of a layer counts what its experts do; undefined where it does not. */
  experts?(layer: number): ExpertTally<Accumulator> | undefined;
  /** The residual stream [T, D] that enters a layer; after the last layer, with its index plus one. */
  stream?(layer: number, hidden: Tensor): void;
}

/** A pass over a batch. */
export interface Pass {
  readonly batch: Batch;
  /** Of each way in which its layers turn queries and keys. */
  readonly rotaries: Rotaries;
  readonly slopes: Slopes;
  readonly cache?: KvCache;
  readonly observer?: Observer;
  /** Whether only the last token of each sequence goes on after the last attention. */
  readonly last?: boolean;
}

type Queried = Readonly<Record<'q' | 'k' | 'v', Projection<Tensor, Weight>>>;

/** What a sub-layer needs of the pass that it runs in. */
export class Context {
  constructor(
    readonly engine: Engine,
    private readonly pass: Pass,
    /** Original index of the layer that runs. */
    readonly layer: number,
    /** Whether only the last token of each sequence attends in this layer, and goes on after it. */
    private readonly narrows = false,
  ) {}

  get #observer(): Observer | undefined {
    return this.pass.observer;
  }

  /** The norm at a module's entrance; undefined where it reads the stream as it is. */
  entrance({ norm }: Pick<ModuleDescription, 'norm'>, weights: { norm?: Tensor }): Norm<Tensor> | undefined {
    return norm && { gain: weights.norm!, epsilon: norm.epsilon };
  }

  /** What `project` gives, as it leaves a module: normed once more where the model does, and added to `add`. */
  leave(
    { postNorm, multiplier }: Pick<ModuleDescription, 'multiplier' | 'postNorm'>,
    weights: { postNorm?: Tensor },
    project: (add?: Tensor) => Tensor,
    add?: Tensor,
  ): Tensor {
    if (!postNorm && multiplier === undefined) return project(add);
    let left = project();
    if (postNorm) left = this.engine.rmsNorm(left, { gain: weights.postNorm!, epsilon: postNorm.epsilon });
    if (multiplier !== undefined) left = this.engine.map(left, ['multiply', 'x', multiplier]);
    return add ? this.engine.add(add, left) : left;
  }

  /** One [T, out] for each projection, by the names under which observers know them. */
  linear(x: Tensor, projections: Record<string, Projection<Tensor, Weight>>, fusion: Fusion<Tensor> = {}): Tensor[] {
    const { input, rest } = this.#observed(x, Object.keys(projections), fusion);
    return this.engine.linear(input, Object.values(projections), rest);
  }

  /** `path` is what observers know its projections by. */
  gatedMlp(
    x: Tensor,
    { gate, up, down, activation }: GatedProjections<Tensor, Weight>,
    fusion: Fusion<Tensor>,
    path = 'mlp',
  ): Tensor {
    if (!this.#observer?.input) return this.engine.gatedMlp(x, { gate, up, down, activation }, fusion);
    const [g, u] = this.linear(x, { [`${path}.gate`]: gate, [`${path}.up`]: up }, { norm: fusion.norm });
    const inner = this.engine.gatedActivation(g, u, activation);
    return this.linear(inner, { [`${path}.down`]: down }, { add: fusion.add })[0];
  }

  moe(
    x: Tensor,
    router: Weight,
    experts: GatedProjections<Tensor, Weight>,
    spec: MoeSpec,
    fusion: Fusion<Tensor>,
  ): Tensor {
    const { input, rest } = this.#observed(x, ['mlp.router', 'mlp.experts.gate', 'mlp.experts.up'], fusion);
    return this.engine.moe(input, router, experts, spec, rest, this.#observer?.experts?.(this.layer));
  }

  /** Shows an observer the input of projections. For that, the norm is computed here and left out of the rest. */
  #observed(x: Tensor, paths: readonly string[], fusion: Fusion<Tensor>): { input: Tensor; rest: Fusion<Tensor> } {
    if (!this.#observer?.input) return { input: x, rest: fusion };
    const input = fusion.norm ? this.engine.rmsNorm(x, fusion.norm) : x;
    this.#observer.input({ layer: this.layer, paths, input });
    return { input, rest: { add: fusion.add } };
  }

  /** Queries of the tokens that attend, keys and values of all: [T, H d] (or [S, H d]), [T, K d], [T, K d]. */
  queriesKeysValues(x: Tensor, { q, k, v }: Queried, fusion: Fusion<Tensor>): Tensor[] {
    const [queries, others] = [{ 'attention.q': q }, { 'attention.k': k, 'attention.v': v }];
    if (!this.narrows) return this.linear(x, { ...queries, ...others }, fusion);
    return [...this.linear(this.#last(x), queries, fusion), ...this.linear(x, others, fusion)];
  }

  /** Rows [S, D] of each sequence's last token. */
  #last(x: Tensor): Tensor {
    return this.engine.gather(x, lastRows(this.pass.batch));
  }

  /** Rotates q and k, appends k and v to the cache, attends. The result has the shape of q. */
  attend(
    { heads, keyValueHeads, headDim, scale, window, softCap, rope, ...d }: AttentionDescription,
    q: Tensor,
    k: Tensor,
    v: Tensor,
  ): Tensor {
    const { rotaries, cache } = this.pass;
    const rotary = rope && rotaries.tables.get(rope);
    const batch = rope ? rotaries.under(this.pass.batch, rope) : this.pass.batch;
    const slopes = d.slopes && this.pass.slopes.get(d.slopes);
    const spec = { heads, keyValueHeads, headDim, scale, rotary, window, softCap, slopes };
    return this.engine.attention({ q, k, v, cache, layer: this.layer, batch, spec });
  }

  /**
   * hidden + delta, for the tokens that go on. Without an observer, the sub-layer adds the residual itself
   * (`delta(hidden)`); the sum is rounded once either way.
   */
  add(hidden: Tensor, kind: ModuleKind, norm: Norm<Tensor> | undefined, delta: (add?: Tensor) => Tensor): Tensor {
    using scope = this.engine.scope();
    const before = this.narrows && kind === 'attention' ? this.#last(hidden) : hidden;
    if (!this.#observer?.subLayer) return scope.keep(delta(before));
    const added = delta();
    const after = this.engine.add(before, added);
    this.#observer.subLayer({ layer: this.layer, kind, before, delta: added, after, norm });
    return scope.keep(after);
  }
}
