import { Accumulator } from './accumulator.js';
import type {
  AttentionInputs,
  Backend,
  ExpertTally,
  Fusion,
  GatedProjections,
  Head,
  MoeSpec,
  Norm,
  Projection,
} from './backend.js';
import type { Batch } from './batch.js';
import { ShapeError, type Shape } from './errors.js';
import { Exclusive } from './exclusive.js';
import { gatedBy, logitExpression, type Activation, type Expression } from './expression.js';
import { KvCache, type CacheSpec } from './kvCache.js';
import { Ledger, type Memory, type Owned, type Scope } from './ledger.js';
import { Replays, type Repeated } from './replays.js';
import type { Packable } from './packable.js';
import * as check from './shapeChecks.js';
import { SharedStorage, Tensor, sizeOf, type DType, type Storage } from './tensor.js';
import { Weight, type WeightUse } from './weight.js';

let made = 0;

/**
 * Tensors and kernels on one backend. Checks shapes once for all backends, owns lifetimes. Calls only enqueue: nothing
 * waits but `read`.
 *
 * ```ts
 * using engine = await createEngine('wasm');
 * using scope = engine.scope();
 * const y = engine.matmul(engine.tensor([1, 2, 3, 4], [2, 2]), engine.tensor([1, 0, 0, 1], [2, 2]));
 * console.log(await engine.read(y));
 * ```
 */
export class Engine {
  /** Of all engines of the program, the backend's name and a number: 'wasm engine 1'. */
  readonly name: string;
  readonly #ledger: Ledger;
  readonly #exclusive = new Exclusive();

  constructor(readonly backend: Backend) {
    this.name = `${backend.name} engine ${++made}`;
    this.#ledger = new Ledger(this.name);
  }

  // Lifetimes

  /**
   * Tensors made until the scope closes are freed with it, except `scope.keep(t)`. Scopes nest. One that stays open
   * over an `await` belongs in `exclusive`, if others may use the engine meanwhile.
   */
  scope(): Scope {
    this.#ledger.checkOpen();
    return this.#ledger.open();
  }

  /**
   * Runs `work` in a scope of its own, once all work given before has ended: so what it makes over an `await` stays
   * apart from what others make. Generation, losses and scores take such a turn for each pass. A call from within
   * `work` runs at once.
   */
  exclusive<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    return this.#exclusive.run(async () => {
      using scope = this.scope();
      return await work(scope);
    });
  }

  /** Tensors, weights, caches and accumulators alive, and the bytes they hold. */
  memory(): Memory {
    return { tensors: this.#ledger.count, bytes: this.#ledger.bytes };
  }

  /** The most bytes alive at one time since the last `resetPeak`. */
  get peakBytes(): number {
    return this.#ledger.peakBytes;
  }

  resetPeak(): void {
    this.#ledger.peakBytes = this.#ledger.bytes;
  }

  /** Frees all that it made, also what is in use: a pass under way ends with a UseAfterFreeError. Harmless when repeated. */
  dispose(): void {
    this.#ledger.close();
    this.backend.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  /** Refuses what another engine made, and what is freed, in operation `op`. All operations do so themselves. */
  checkOwn(op: string, item: Owned): void {
    this.#ledger.checkOwn(op, item);
  }

  #tensor(storage: Storage, shape: Shape, dtype: DType = 'float32'): Tensor {
    return new Tensor(new SharedStorage(storage, this.#ledger), this.#ledger, shape, dtype);
  }

  // Creating and reading

  /** From numbers (float32), a Float32Array or an Int32Array; `shape` defaults to one axis. */
  tensor(data: Float32Array | Int32Array | readonly number[], shape: Shape = [data.length]): Tensor {
    this.#ledger.checkOpen();
    check.sizes('tensor', shape);
    const values = data instanceof Int32Array || data instanceof Float32Array ? data : Float32Array.from(data);
    if (sizeOf(shape) !== values.length)
      throw new ShapeError('tensor', { shape }, `${values.length} values were given for ${sizeOf(shape)} elements`);
    return this.#tensor(this.backend.upload(values), shape, values instanceof Int32Array ? 'int32' : 'float32');
  }

  zeros(shape: Shape): Tensor {
    check.sizes('zeros', shape);
    return this.tensor(new Float32Array(sizeOf(shape)), shape);
  }

  /** The values, once they are there. A copy: the caller's own. */
  async read(t: Tensor): Promise<Float32Array | Int32Array> {
    this.#ledger.checkOwn('read', t);
    return this.backend.read(t);
  }

  /** `read` of a float32 tensor. */
  async readFloats(t: Tensor): Promise<Float32Array> {
    check.floats(this.#ledger, 'readFloats', { t });
    return (await this.backend.read(t)) as Float32Array;
  }

  // General operations

  /** Matrix product, [m, k] x [k, n] -> [m, n]; `transposeA` takes a as [k, m], `transposeB` b as [n, k]. */
  matmul(a: Tensor, b: Tensor, o: { transposeA?: boolean; transposeB?: boolean } = {}): Tensor {
    check.floats(this.#ledger, 'matmul', { lhs: a, rhs: b });
    check.rank('matmul', 2, { lhs: a, rhs: b });
    const [m, k] = o.transposeA ? [a.shape[1], a.shape[0]] : a.shape;
    const [inner, n] = o.transposeB ? [b.shape[1], b.shape[0]] : b.shape;
    if (k !== inner)
      throw new ShapeError('matmul', { lhs: a.shape, rhs: b.shape }, `inner sizes ${k} and ${inner} differ`);
    return this.#tensor(this.backend.matmul(a, b, o.transposeA ?? false, o.transposeB ?? false), [m, n]);
  }

  /** a + b; b may have a's last sizes only, or a single element. */
  add(a: Tensor, b: Tensor): Tensor {
    check.broadcast(this.#ledger, 'add', a, b);
    return this.#tensor(this.backend.map(a, ['add', 'x', 'y'], b), a.shape);
  }

  /** a * b elementwise; b may have a's last sizes only, or a single element. */
  multiply(a: Tensor, b: Tensor): Tensor {
    check.broadcast(this.#ledger, 'multiply', a, b);
    return this.#tensor(this.backend.map(a, ['multiply', 'x', 'y'], b), a.shape);
  }

  /**
   * The expression of each element x and, where it mentions y, of the element of y that belongs to it: of y of x's shape,
   * of x's last sizes, of one number a row ([T, 1] for x [T, D]) or of a single element. As x, float32.
   */
  map(x: Tensor, expression: Expression, y?: Tensor): Tensor {
    check.map(this.#ledger, x, expression, y);
    return this.#tensor(this.backend.map(x, expression, y), x.shape);
  }

  /** activation(gate) * up elementwise, of equal shapes: what an MLP's down projection reads. */
  gatedActivation(gate: Tensor, up: Tensor, activation: Activation = 'silu'): Tensor {
    check.floats(this.#ledger, 'gatedActivation', { gate, up });
    if (gate.shape.join() !== up.shape.join())
      throw new ShapeError('gatedActivation', { gate: gate.shape, up: up.shape }, 'the shapes differ');
    return this.#tensor(this.backend.map(gate, gatedBy(activation), up), gate.shape);
  }

  softmax(x: Tensor, axis = -1): Tensor {
    const [outer, size, inner] = check.around(this.#ledger, 'softmax', x, axis);
    return this.#tensor(this.backend.softmax(x, outer, size, inner), x.shape);
  }

  sum(x: Tensor, axis = -1): Tensor {
    return this.#reduce(x, 'sum', axis);
  }

  mean(x: Tensor, axis = -1): Tensor {
    return this.#reduce(x, 'mean', axis);
  }

  #reduce(x: Tensor, kind: 'sum' | 'mean', axis: number): Tensor {
    const [outer, size, inner] = check.around(this.#ledger, kind, x, axis);
    return this.#tensor(this.backend.reduce(x, kind, outer, size, inner), check.without(x.shape, axis));
  }

  /** Index of the largest element along an axis (the first of equals), int32. */
  argmax(x: Tensor, axis = -1): Tensor {
    const [outer, size, inner] = check.around(this.#ledger, 'argmax', x, axis);
    if (size === 0) throw new ShapeError('argmax', { x: x.shape }, 'there is no element to choose', axis);
    return this.#tensor(this.backend.argmax(x, outer, size, inner), check.without(x.shape, axis), 'int32');
  }

  /** float32 to int32 truncates towards zero. */
  cast(x: Tensor, dtype: DType): Tensor {
    this.#ledger.checkOwn('cast', x);
    return this.#tensor(this.backend.cast(x, dtype), x.shape, dtype);
  }

  // Weights and caches

  /** Reads a weight and lays it out for this backend. Outlives scopes; free it with `dispose`. */
  async pack(source: Packable, use: WeightUse): Promise<Weight> {
    const expected = use === 'experts' ? 3 : 2;
    if (source.shape.length !== expected)
      throw new ShapeError('pack', { [source.name]: source.shape }, `a weight for '${use}' has ${expected} axes`);
    this.#ledger.checkOpen();
    const storage = await this.backend.pack(source, use);
    if (this.#ledger.closed) storage.free(); // disposed meanwhile
    this.#ledger.checkOpen();
    return new Weight(source.name, source.shape, use, storage, this.#ledger);
  }

  /** An empty cache. Outlives scopes; free it with `dispose`. */
  createCache(spec: CacheSpec): KvCache {
    this.#ledger.checkOpen();
    check.cacheSpec(spec);
    const layers = new Map(spec.layers.map((layer) => [layer, this.backend.createCacheLayer(spec)]));
    return new KvCache(spec, layers, this.#ledger);
  }

  // Transformer kernels. Legend as in `backend.ts`.

  /** [T, D]: rows of the embedding. */
  embed(weight: Weight, batch: Batch): Tensor {
    check.embed(this.#ledger, weight, batch.tokens);
    return this.#tensor(this.backend.embed(weight, batch.tokens), [batch.tokens.length, weight.shape[1]]);
  }

  /** [N, D]: rows of x [T, D] by index. */
  gather(x: Tensor, indices: Int32Array): Tensor {
    check.gather(this.#ledger, x, indices);
    return this.#tensor(this.backend.gather(x, indices), [indices.length, x.shape[1]]);
  }

  rmsNorm(x: Tensor, norm: Norm<Tensor>): Tensor {
    check.norm(this.#ledger, 'rmsNorm', x, norm);
    return this.#tensor(this.backend.rmsNorm(x, norm), x.shape);
  }

  /** One [T, out] for each projection of the same input [T, in], with `norm` before and `add` [T, out] after. */
  linear(x: Tensor, projections: readonly Projection<Tensor, Weight>[], fusion: Fusion<Tensor> = {}): Tensor[] {
    check.fusion(this.#ledger, 'linear', x, fusion, projections[0].weight.shape[0]);
    for (const projection of projections) check.projection(this.#ledger, 'linear', x.shape[1], projection);
    const storages = this.backend.linear(x, projections, fusion);
    return storages.map((storage, i) => this.#tensor(storage, [x.shape[0], projections[i].weight.shape[0]]));
  }

  /** `down(activation(gate(x)) * up(x))`, [T, D] -> [T, D], with `norm` before and `add` after. */
  gatedMlp(x: Tensor, weights: GatedProjections<Tensor, Weight>, fusion: Fusion<Tensor> = {}): Tensor {
    check.gated(this.#ledger, 'gatedMlp', x, weights);
    check.fusion(this.#ledger, 'gatedMlp', x, fusion, x.shape[1]);
    return this.#tensor(this.backend.gatedMlp(x, weights, fusion), x.shape);
  }

  /**
   * Sparse mixture of gated experts, [T, D] -> [T, D]: the router's logits scored, top-k, weighted sum. With a `tally`, what
   * each expert does is counted there.
   */
  moe(
    x: Tensor,
    router: Weight,
    experts: GatedProjections<Tensor, Weight>,
    spec: MoeSpec,
    fusion: Fusion<Tensor> = {},
    tally?: ExpertTally<Accumulator>,
  ): Tensor {
    check.moe(this.#ledger, x, router, experts, spec, fusion, tally);
    const counted = tally && { into: tally.into.storage, index: tally.index };
    return this.#tensor(this.backend.moe(x, router, experts, spec, fusion, counted), x.shape);
  }

  /**
   * Rotates q and k, appends k and v to the cache's `layer`, attends: q [T, H d], k and v [T, K d] -> [T, H d]. If only
   * the last token of each of S sequences attends, q and the result are [S, H d].
   */
  attention(inputs: AttentionInputs<Tensor>): Tensor {
    check.attention(this.#ledger, inputs);
    return this.#tensor(this.backend.attention(inputs), inputs.q.shape);
  }

  /** [T, V]: the head's logits of h [T, D], scaled and softly capped as it says. */
  logits(h: Tensor, head: Head<Tensor, Weight>): Tensor {
    const [logits] = this.linear(h, [head], { norm: head.norm });
    const expression = logitExpression(head);
    if (!expression) return logits;
    using plain = logits;
    return this.map(plain, expression);
  }

  /** [T]: each target's negative log-likelihood under the head's logits of h, none of them kept; a target of -1 gives 0. */
  crossEntropy(h: Tensor, head: Head<Tensor, Weight>, targets: Int32Array): Tensor {
    check.head(this.#ledger, 'crossEntropy', { h }, head);
    check.targets(h, head, targets);
    return this.#tensor(this.backend.crossEntropy(h, head, targets), [targets.length]);
  }

  /** [T]: KL(p || q) of the next-token distributions p after `reference` and q after `h`, both [T, D], under one head. */
  divergence(reference: Tensor, h: Tensor, head: Head<Tensor, Weight>): Tensor {
    check.head(this.#ledger, 'divergence', { reference, h }, head);
    return this.#tensor(this.backend.divergence(reference, h, head), [h.shape[0]]);
  }

  // Passes that repeat

  /** A store for recorded passes, empty. Their memory counts as the backend's own; free it with `dispose`. */
  createReplays(): Replays {
    this.#ledger.checkOpen();
    return new Replays(this.#ledger);
  }

  /**
   * `compute(x, batch)`, [T, D] -> [T, D], which continues each sequence of a batch in its cache by one token. Where the
   * backend can, the pass is recorded the first time, with some rows more (`Batch.padding`), and from then on run again
   * without the host's part in it, also for other slots and for fewer sequences; a pass in which the host has a part
   * (`tensor`, `gather`, a loss, a mixture's choice) is computed anew each time. Frees x.
   */
  replay(replays: Replays, pass: Repeated, x: Tensor, compute: (x: Tensor, batch: Batch) => Tensor): Tensor {
    const { cache, batch } = pass;
    for (const item of [replays, cache, x]) this.#ledger.checkOwn('replay', item);
    cache.check(batch);
    const [rows, width] = x.shape;
    const all = this.backend.recordedRows?.(rows) ?? rows;
    const filled = { ...pass, batch: { ...batch, padding: all - rows } };
    const found = replays.find(filled);
    const recording = found ? undefined : this.backend.record?.();
    if (!found?.replay && !recording) return compute(x, batch);
    using _used = x;
    if (!recording) return this.#tensor(found!.replay!.run(x, batch, cache), x.shape);
    using scope = this.scope();
    try {
      const output = compute(this.#tensor(recording.begin(x, all), [all, width]), filled.batch);
      this.#ledger.checkOwn('replay', output);
      const { result, replay } = recording.finish(output, rows);
      replays.keep(filled, replay);
      return scope.keep(this.#tensor(result, x.shape));
    } catch (error) {
      recording.cancel();
      throw error;
    }
  }

  // Running sums

  /** Zeros. Outlives scopes; free it with `dispose`. */
  accumulator(length: number): Accumulator {
    this.#ledger.checkOpen();
    check.sizes('accumulator', [length]);
    return new Accumulator(length, this.backend.createAccumulator(length), this.#ledger);
  }

  /** Adds the sum over rows of cos(a_row, b_row) to one element. */
  cosine(a: Tensor, b: Tensor, into: Accumulator, index: number): void {
    check.cosine(this.#ledger, a, b, into, index);
    this.backend.cosine(a, b, into.storage, index);
  }

  /** Adds X^T X of x [T, D] to D x D elements, row-major. */
  gram(x: Tensor, into: Accumulator): void {
    check.crossGram(this.#ledger, 'gram', x, x, into);
    this.backend.gram(x, into.storage);
  }

  /** Adds A^T B of a [T, A] and b [T, B] to A x B elements, row-major. */
  crossGram(a: Tensor, b: Tensor, into: Accumulator): void {
    check.crossGram(this.#ledger, 'crossGram', a, b, into);
    this.backend.crossGram(a, b, into.storage);
  }

  async readAccumulator(accumulator: Accumulator): Promise<Float64Array> {
    this.#ledger.checkOwn('readAccumulator', accumulator);
    return this.backend.readAccumulator(accumulator.storage, accumulator.length);
  }
}
