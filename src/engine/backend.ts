/**
 * The small interface behind which each backend computes. A backend trusts its arguments: `Engine` has checked shapes,
 * types and lifetimes. Calls enqueue; only `read` and `readAccumulator` wait. A backend never calls another's kernels.
 *
 * Legend: T tokens of a batch, D hidden size, I intermediate size, H heads, K key-value heads, d head size, V vocabulary.
 */
import type { Batch } from './batch.js';
import type { CacheSpec, KvCache } from './kvCache.js';
import type { Shape } from './errors.js';
import type { Activation, Expression } from './expression.js';
import type { Packable } from './packable.js';
import type { DType, Storage } from './tensor.js';
import type { TfjsChoice } from './tfjs/choices.js';
import type { WeightUse } from './weight.js';

export type BackendName = 'reference' | 'wasm' | 'tfjs' | 'webgpu';

/** What an engine is asked for by: a backend, or with a colon one TensorFlow.js, e.g. 'tfjs:node-gpu'. */
export type BackendChoice = BackendName | `tfjs:${TfjsChoice}`;

/** What a kernel sees of a tensor. */
export interface Operand {
  readonly storage: Storage;
  /** First element, in elements. */
  readonly offset: number;
  readonly shape: Shape;
  readonly dtype: DType;
}

/** What a kernel sees of a weight. */
export interface PackedWeight {
  readonly storage: Storage;
  readonly shape: Shape;
}

/** RMS norm: `x * rsqrt(mean(x^2) + epsilon) * gain` per row (Zhang and Sennrich, 2019). */
export interface Norm<T = Operand> {
  readonly gain: T;
  readonly epsilon: number;
}

/** `y = x W^T + bias`. */
export interface Projection<T = Operand, W = PackedWeight> {
  readonly weight: W;
  readonly bias?: T;
}

/** `down(activation(gate(x)) * up(x))` (GLU variants; Shazeer, 2020). */
export interface GatedProjections<T = Operand, W = PackedWeight> {
  readonly gate: Projection<T, W>;
  readonly up: Projection<T, W>;
  readonly down: Projection<T, W>;
  /** @defaultValue 'silu' */
  readonly activation?: Activation;
}

/** A norm applied to the input first, and a residual added once to the finished sum. */
export interface Fusion<T = Operand> {
  readonly norm?: Norm<T>;
  readonly add?: T;
}

export interface MoeSpec {
  /** Experts that each token visits: those of the largest weights, the lower index of equals. */
  readonly topK: number;
  /** Divide the chosen weights by their sum. */
  readonly normalise: boolean;
  /**
   * How the router's logits become weights: over all experts, or each by itself.
   * @defaultValue 'softmax'
   */
  readonly scoring?: 'softmax' | 'sigmoid';
  /**
   * Multiplies the chosen weights, after they were normalised.
   * @defaultValue 1
   */
  readonly scale?: number;
}

/**
 * Where it is counted what each of E experts does: 3 E running sums from element `index` on. First how many tokens visit
 * each, then the sum of the weights that it gets, then that of these weights times the L2 norm of what it gives.
 */
export interface ExpertTally<T = Storage> {
  readonly into: T;
  readonly index: number;
}

/** What turns the last stream into logits: `softCap * tanh(scale * (weight norm(h) + bias) / softCap)`. */
export interface Head<T = Operand, W = PackedWeight> extends Projection<T, W> {
  readonly norm?: Norm<T>;
  /** Multiplies the logits; 1 where absent. */
  readonly scale?: number;
  /** What scaled logits stay below; no bound where absent. */
  readonly softCap?: number;
}

/**
 * Cosines and sines by position, [positions, n] each, n <= d / 2. Rotation pairs element i < n of a head with i + n; the
 * elements from 2 n on stay as they are.
 */
export interface Rotary<T = Operand> {
  readonly cos: T;
  readonly sin: T;
}

export interface AttentionSpec<T = Operand> {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headDim: number;
  /** Multiplies the scores. */
  readonly scale: number;
  readonly rotary?: Rotary<T>;
  /** Keys seen by a query, itself included; all that came before where absent. */
  readonly window?: number;
  /** `tanh(score / softCap) * softCap`. */
  readonly softCap?: number;
  /**
   * [heads]: slope * (key's position - query's) is added to a scaled score, before a soft cap (ALiBi; Press et al., 2022).
   * Like norms' gains, of the model: a recorded pass finds them where they were.
   */
  readonly slopes?: T;
}

/** What attention reads: see `Backend.attention`. */
export interface AttentionInputs<T = Operand> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  /** Holds the tokens that came before, and takes the new ones. */
  readonly cache?: KvCache;
  /** Original index of the layer, for the cache. */
  readonly layer: number;
  readonly batch: Batch;
  readonly spec: AttentionSpec<T>;
}

/** What a backend can do here, for `inspect` and `bench`. */
export interface Abilities {
  /** e.g. 'baseline' for wasm, or the TensorFlow.js backend's name. */
  readonly tier: string;
  readonly threads: number;
  readonly [detail: string]: string | number | boolean;
}

/** A pass that is being recorded while it runs. */
export interface Recording {
  /** A copy of x, for the pass to begin with, and behind it zeros up to `rows` rows. */
  begin(x: Operand, rows: number): Storage;
  /**
   * Ends the recording with the output of the pass. Gives a copy of its first `rows` rows and, if the pass can be repeated,
   * its replay.
   */
  finish(output: Operand, rows: number): { readonly result: Storage; readonly replay?: Replay };
  /** Ends the recording after a failure. */
  cancel(): void;
}

/** A recorded pass. */
export interface Replay {
  /** True once it can no longer run, because memory that it uses has moved. */
  readonly stale?: boolean;
  /**
   * Runs the pass for another x and another batch of no more rows, maybe with another cache. The output has as many rows as
   * x.
   */
  run(x: Operand, batch: Batch, cache: KvCache): Storage;
  free(): void;
}

export interface Backend {
  readonly name: BackendName;
  readonly abilities: Abilities;

  upload(data: Float32Array | Int32Array): Storage;
  read(t: Operand): Promise<Float32Array | Int32Array>;

  // General operations, for experiments. Results have the shape that `Engine` states.
  /** [m, k] x [k, n] -> [m, n], either side transposed. */
  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): Storage;
  /** The expression of each element of x and, where it mentions y, that of y which belongs to it (see `broadcastOf`). */
  map(x: Operand, expression: Expression, y: Operand | undefined): Storage;
  /** Over an axis: x is [outer, size, inner]. */
  softmax(x: Operand, outer: number, size: number, inner: number): Storage;
  reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Storage;
  /** Index of the largest element; the first of equals. int32. */
  argmax(x: Operand, outer: number, size: number, inner: number): Storage;
  cast(x: Operand, dtype: DType): Storage;

  // Transformer kernels.
  pack(source: Packable, use: WeightUse): Promise<Storage>;
  /** Keys and values of one layer, for all slots. */
  createCacheLayer(spec: CacheSpec): Storage;
  /** -> [T, D] */
  embed(weight: PackedWeight, tokens: Int32Array): Storage;
  /** [T, D] -> [N, D]: rows by index. */
  gather(x: Operand, indices: Int32Array): Storage;
  /** [T, D] -> [T, D] */
  rmsNorm(x: Operand, norm: Norm): Storage;
  /** [T, in] -> one [T, out] per projection, from one (normed) input. `add` belongs to the first. */
  linear(x: Operand, projections: readonly Projection[], fusion: Fusion): Storage[];
  /** [T, D] -> [T, D] */
  gatedMlp(x: Operand, weights: GatedProjections, fusion: Fusion): Storage;
  /** [T, D] -> [T, D]; router [E, D]; experts' gate and up [E, I, D], down [E, D, I]. Routing stays on the device. */
  moe(
    x: Operand,
    router: PackedWeight,
    experts: GatedProjections,
    spec: MoeSpec,
    fusion: Fusion,
    tally?: ExpertTally,
  ): Storage;
  /**
   * q [T, H d], k and v [T, K d] -> [T, H d]. Rotates q and k, appends k and v to the cache's layer, attends causally
   * within each sequence. Without a cache every sequence starts at 0 and attends within the batch. q and the result may
   * also be of the last token of each sequence alone.
   */
  attention(inputs: AttentionInputs): Storage;
  /** -> [T]: negative log-likelihood of each target under the head's logits of h; a target of -1 gives 0. */
  crossEntropy(h: Operand, head: Head, targets: Int32Array): Storage;

  /** -> [T]: Kullback-Leibler divergence sum_v p log(p / q), p from the head's logits of `reference`, q of `h`. */
  divergence(reference: Operand, h: Operand, head: Head): Storage;

  // Running sums in float64 (or the nearest that the backend has).
  createAccumulator(length: number): Storage;
  /** Adds the sum over rows of cos(a_row, b_row) to element `index`; norms are floored at 1e-8. */
  cosine(a: Operand, b: Operand, into: Storage, index: number): void;
  /** Adds X^T X, [D, D] row-major. */
  gram(x: Operand, into: Storage): void;
  /** Adds A^T B of a [T, A] and b [T, B], [A, B] row-major. */
  crossGram(a: Operand, b: Operand, into: Storage): void;
  readAccumulator(accumulator: Storage, length: number): Promise<Float64Array>;

  /** Records what is computed from now on; undefined if that is not possible. */
  record?(): Recording | undefined;
  /** Rows of a pass that is recorded for `tokens` tokens, and serves as many or fewer; `tokens` where absent. */
  recordedRows?(tokens: number): number;

  dispose(): void;
}
