import type {
  Abilities,
  AttentionInputs,
  Backend,
  ExpertTally,
  Fusion,
  GatedProjections,
  Head,
  MoeSpec,
  Norm,
  Operand,
  PackedWeight,
  Projection,
} from '../backend.js';
import { UnsupportedOpError } from '../errors.js';
import type { Expression } from '../expression.js';
import { host } from '../hosts/index.js';
import type { CacheSpec } from '../kvCache.js';
import type { Packable } from '../packable.js';
import { sizeOf } from '../tensor.js';
import type { DType, Storage } from '../tensor.js';
import type { WeightUse } from '../weight.js';
import { AccumulatorStorage, cosines } from './accumulate.js';
import { attention } from './attention.js';
import { GrowingCacheLayer, JoiningCacheLayer, type CacheLayer } from './cache.js';
import { packFloats } from './floatMatrix.js';
import { firstLargest, map, softmax } from './general.js';
import { loadTfjs, type Tensor, type Tf, type Tfjs } from './load.js';
import type { Matrix } from './matrix.js';
import { moe } from './moe.js';
import { packMatrix } from './packMatrix.js';
import { rowsAt } from './rows.js';
import { matrixOf, TensorStorage, view, WeightStorage, type Live } from './storage.js';
import { TensorFlow } from './tensorflow.js';
import { added, crossEntropy, divergence, gated, normed, project, rmsNorm } from './transformer.js';
import { visitedExperts } from './visitedExperts.js';

/** The backend over TensorFlow.js, on the one that `options.tfjs` or LLM_DROP_TFJS names, or the first installed. */
export async function createTfjsBackend(
  options: { readonly tfjs?: string; readonly threads?: number } = {},
): Promise<Backend> {
  return new TfjsBackend(await loadTfjs(options.tfjs ?? (host.setting('LLM_DROP_TFJS') || undefined), options.threads));
}

/** Kernels as TensorFlow.js operations. Each runs in a tidy: what is not its result is freed as it returns. */
class TfjsBackend implements Backend {
  readonly name = 'tfjs';
  readonly abilities: Abilities;
  readonly #tf: Tf;
  /** TensorFlow's own operations, where it is what computes. */
  readonly #flow: TensorFlow | undefined;
  readonly #live: Live = new Set();

  constructor(private readonly tfjs: Tfjs) {
    this.#tf = tfjs.tf;
    const { registered, threads, version, gpu } = tfjs;
    this.#flow = registered === 'tensorflow' ? new TensorFlow(tfjs.tf) : undefined;
    const tensorflow = this.#flow && { tensorflow: this.#flow.version };
    this.abilities = { tier: registered, threads, package: tfjs.package, version, ...tensorflow, gpu };
  }

  /** TensorFlow.js has one current backend for the whole process: another engine may have changed it since. */
  #current(): Tf {
    if (this.#tf.getBackend() !== this.tfjs.registered) void this.#tf.setBackend(this.tfjs.registered);
    return this.#tf;
  }

  #run(kernel: (tf: Tf) => Tensor): Storage {
    return this.#runAll((tf) => [kernel(tf)])[0];
  }

  #runAll(kernel: (tf: Tf) => Tensor[]): Storage[] {
    const tf = this.#current();
    const results = tf.tidy(() => kernel(tf));
    return results.map((tensor) => new TensorStorage(this.#live, tf.keep(tensor)));
  }

  upload(data: Float32Array | Int32Array): Storage {
    return this.#run((tf) => tf.tensor1d(data.slice(), data instanceof Int32Array ? 'int32' : 'float32'));
  }

  async read(t: Operand): Promise<Float32Array | Int32Array> {
    const tf = this.#current();
    const tensor = tf.tidy(() => tf.clone(view(tf, t)));
    try {
      const values = await tensor.data(); // the JavaScript backend's own array, even integers after a cast to float32
      return t.dtype === 'int32' ? Int32Array.from(values) : Float32Array.from(values);
    } finally {
      tensor.dispose();
    }
  }

  matmul(a: Operand, b: Operand, transposeA: boolean, transposeB: boolean): Storage {
    return this.#run((tf) => tf.matMul(view(tf, a), view(tf, b), transposeA, transposeB));
  }

  map(x: Operand, expression: Expression, y: Operand | undefined): Storage {
    return this.#run((tf) => map(tf, view(tf, x), expression, y && view(tf, y)));
  }

  softmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return this.#run((tf) => softmax(tf, view(tf, x, [outer, size, inner])));
  }

  reduce(x: Operand, kind: 'sum' | 'mean', outer: number, size: number, inner: number): Storage {
    return this.#run((tf) => tf[kind](view(tf, x, [outer, size, inner]), 1));
  }

  argmax(x: Operand, outer: number, size: number, inner: number): Storage {
    return this.#run((tf) => firstLargest(tf, view(tf, x, [outer, size, inner]), 1));
  }

  cast(x: Operand, dtype: DType): Storage {
    return this.#run((tf) => tf.cast(view(tf, x), dtype));
  }

  async pack(source: Packable, use: WeightUse): Promise<Storage> {
    const count = use === 'experts' ? source.shape[0] : 1;
    const rows = sizeOf(source.shape.slice(0, -1)) / count;
    const flow = this.#flow;
    const current = (): Tf => this.#current();
    const matrices: Matrix[] = [];
    try {
      for (let i = 0; i < count; i++) {
        const own = { first: i * rows, end: (i + 1) * rows };
        matrices.push(await (flow ? packMatrix(flow, current, source, own) : packFloats(current, source, own)));
      }
    } catch (error) {
      for (const { tensors } of matrices) tensors.forEach((tensor) => tensor.dispose());
      throw error;
    }
    return new WeightStorage(this.#live, matrices);
  }

  createCacheLayer(spec: CacheSpec): Storage {
    if (spec.dtype === 'float16') throw new UnsupportedOpError('createCache', this.name, 'a float16 cache');
    return this.#flow ? new GrowingCacheLayer(this.#live, this.#flow, spec) : new JoiningCacheLayer(this.#live, spec);
  }

  embed(weight: PackedWeight, tokens: Int32Array): Storage {
    return this.#run(() => matrixOf(weight).rowsAt(tokens));
  }

  gather(x: Operand, indices: Int32Array): Storage {
    return this.#run((tf) => rowsAt(tf, view(tf, x), indices));
  }

  rmsNorm(x: Operand, norm: Norm): Storage {
    return this.#run((tf) => rmsNorm(tf, view(tf, x), norm));
  }

  linear(x: Operand, projections: readonly Projection[], fusion: Fusion): Storage[] {
    return this.#runAll((tf) => {
      const input = normed(tf, view(tf, x), fusion.norm);
      return projections.map((projection, i) => added(tf, project(tf, input, projection), i === 0 ? fusion : {}));
    });
  }

  gatedMlp(x: Operand, weights: GatedProjections, fusion: Fusion): Storage {
    return this.#run((tf) => added(tf, gated(tf, normed(tf, view(tf, x), fusion.norm), weights), fusion));
  }

  moe(
    x: Operand,
    router: PackedWeight,
    experts: GatedProjections,
    spec: MoeSpec,
    fusion: Fusion,
    tally?: ExpertTally,
  ): Storage {
    const count = (sums: Tensor): void => (tally!.into as AccumulatorStorage).addFrom(tally!.index, sums);
    const flow = this.#flow;
    return this.#run((tf) => {
      const input = normed(tf, view(tf, x), fusion.norm);
      const mixed = flow
        ? visitedExperts(flow, input, router, experts, spec, tally && count)
        : moe(tf, input, router, experts, spec, tally && count);
      return added(tf, mixed, fusion);
    });
  }

  attention({ q, k, v, cache, layer, batch, spec }: AttentionInputs): Storage {
    const held = cache?.storage(layer) as CacheLayer | undefined;
    return this.#run((tf) => attention(tf, view(tf, q), view(tf, k), view(tf, v), held, batch, spec));
  }

  crossEntropy(h: Operand, head: Head, targets: Int32Array): Storage {
    return this.#run((tf) => crossEntropy(tf, view(tf, h), head, targets));
  }

  divergence(reference: Operand, h: Operand, head: Head): Storage {
    return this.#run((tf) => divergence(tf, view(tf, reference), view(tf, h), head));
  }

  createAccumulator(length: number): Storage {
    return new AccumulatorStorage(this.#live, this.#current(), length);
  }

  cosine(a: Operand, b: Operand, into: Storage, index: number): void {
    const tf = this.#current();
    tf.tidy(() => (into as AccumulatorStorage).addAt(index, cosines(tf, view(tf, a), view(tf, b))));
  }

  gram(x: Operand, into: Storage): void {
    this.crossGram(x, x, into);
  }

  crossGram(a: Operand, b: Operand, into: Storage): void {
    const tf = this.#current();
    tf.tidy(() => {
      const products = tf.matMul(view(tf, a), view(tf, b), true, false);
      (into as AccumulatorStorage).add(tf.reshape(products, [products.size]));
    });
  }

  readAccumulator(accumulator: Storage): Promise<Float64Array> {
    return (accumulator as AccumulatorStorage).read();
  }

  dispose(): void {
    for (const storage of [...this.#live]) storage.free();
  }
}
