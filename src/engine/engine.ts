import type { AttentionSpec, Backend, Fusion, GatedProjections, MoeSpec, Norm, Projection } from './backend.js';
import { lastRows, type Batch } from './batch.js';
import { Accumulator } from './accumulator.js';
import { ShapeError, type Shape } from './errors.js';
import { host } from './hosts/index.js';
import type { Int4Source } from './int4.js';
import { KvCache, type CacheSpec } from './kvCache.js';
import { Ledger, type Scope } from './ledger.js';
import { Replays, type Repeated } from './replays.js';
import { SharedStorage, Tensor, sizeOf, type DType, type Storage } from './tensor.js';
import { Turns } from './turns.js';
import { Weight, type WeightSource, type WeightUse } from './weight.js';

/** The engines whose turn the running code has. */
const turnsHeld = host.createContext<readonly Engine[]>();

/** Live memory: what was made and not yet freed. */
export interface Memory {
  readonly tensors: number;
  readonly bytes: number;
}

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
  readonly #ledger = new Ledger();
  readonly #turns = new Turns();

  constructor(readonly backend: Backend) {}

  // Lifetimes

  /**
   * Tensors made until the scope closes are freed with it, except `scope.keep(t)`. Scopes nest: what holds one open over
   * an `await` belongs in `exclusive` where others may use the engine meanwhile.
   */
  scope(): Scope {
    return this.#ledger.open();
  }

  /**
   * Runs `work` in a scope of its own once all that was given before has ended, so that what it does over an `await` stays
   * apart from others'. Generating, losses and scores take such a turn for each pass. Within `work`, another runs at once.
   */
  async exclusive<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    const within = turnsHeld.get() ?? [];
    if (within.includes(this)) return this.#inScope(work);
    await this.#turns.take();
    try {
      return await turnsHeld.run([...within, this], () => this.#inScope(work));
    } finally {
      this.#turns.give();
    }
  }

  async #inScope<T>(work: (scope: Scope) => Promise<T>): Promise<T> {
    using scope = this.scope();
    return await work(scope);
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

  dispose(): void {
    this.#ledger.disposeAll();
    this.backend.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }

  #tensor(storage: Storage, shape: Shape, dtype: DType = 'float32'): Tensor {
    return new Tensor(new SharedStorage(storage, this.#ledger), this.#ledger, shape, dtype);
  }

  // Creating and reading

  /** From numbers (float32), a Float32Array or an Int32Array; `shape` defaults to one axis. */
  tensor(data: Float32Array | Int32Array | readonly number[], shape: Shape = [data.length]): Tensor {
    const values = data instanceof Int32Array || data instanceof Float32Array ? data : Float32Array.from(data);
    if (sizeOf(shape) !== values.length)
      throw new ShapeError('tensor', { shape }, `${values.length} values were given for ${sizeOf(shape)} elements`);
    return this.#tensor(this.backend.upload(values), shape, values instanceof Int32Array ? 'int32' : 'float32');
  }

  zeros(shape: Shape): Tensor {
    return this.tensor(new Float32Array(sizeOf(shape)), shape);
  }

  /** The values, once they are there. A copy: the caller's own. */
  read(t: Tensor): Promise<Float32Array | Int32Array> {
    return this.backend.read(t);
  }

  /** `read` of a float32 tensor. */
  async readFloats(t: Tensor): Promise<Float32Array> {
    floats('readFloats', { t });
    return (await this.backend.read(t)) as Float32Array;
  }

  // General operations

  /** Matrix product, [m, k] x [k, n] -> [m, n]; `transposeA` takes a as [k, m], `transposeB` b as [n, k]. */
  matmul(a: Tensor, b: Tensor, o: { transposeA?: boolean; transposeB?: boolean } = {}): Tensor {
    floats('matmul', { lhs: a, rhs: b });
    rank('matmul', 2, { lhs: a, rhs: b });
    const [m, k] = o.transposeA ? [a.shape[1], a.shape[0]] : a.shape;
    const [inner, n] = o.transposeB ? [b.shape[1], b.shape[0]] : b.shape;
    if (k !== inner)
      throw new ShapeError('matmul', { lhs: a.shape, rhs: b.shape }, `inner sizes ${k} and ${inner} differ`);
    return this.#tensor(this.backend.matmul(a, b, o.transposeA ?? false, o.transposeB ?? false), [m, n]);
  }

  /** a + b; b may have a's last sizes only, or a single element. */
  add(a: Tensor, b: Tensor): Tensor {
    broadcast('add', a, b);
    return this.#tensor(this.backend.add(a, b), a.shape);
  }

  /** a * b elementwise; b may have a's last sizes only, or a single element. */
  multiply(a: Tensor, b: Tensor): Tensor {
    broadcast('multiply', a, b);
    return this.#tensor(this.backend.multiply(a, b), a.shape);
  }

  /** silu(gate) * up elementwise: what an MLP's down projection reads. */
  siluMultiply(gate: Tensor, up: Tensor): Tensor {
    floats('siluMultiply', { gate, up });
    if (gate.shape.length !== up.shape.length || gate.shape.some((size, i) => size !== up.shape[i]))
      throw new ShapeError('siluMultiply', { gate: gate.shape, up: up.shape }, 'the shapes differ');
    return this.#tensor(this.backend.siluMultiply(gate, up), gate.shape);
  }

  softmax(x: Tensor, axis = -1): Tensor {
    const [outer, size, inner] = around('softmax', x, axis);
    return this.#tensor(this.backend.softmax(x, outer, size, inner), x.shape);
  }

  sum(x: Tensor, axis = -1): Tensor {
    return this.#reduce(x, 'sum', axis);
  }

  mean(x: Tensor, axis = -1): Tensor {
    return this.#reduce(x, 'mean', axis);
  }

  #reduce(x: Tensor, kind: 'sum' | 'mean', axis: number): Tensor {
    const [outer, size, inner] = around(kind, x, axis);
    return this.#tensor(this.backend.reduce(x, kind, outer, size, inner), without(x.shape, axis));
  }

  /** Index of the largest element along an axis (the first of equals), int32. */
  argmax(x: Tensor, axis = -1): Tensor {
    const [outer, size, inner] = around('argmax', x, axis);
    if (size === 0) throw new ShapeError('argmax', { x: x.shape }, 'there is no element to choose', axis);
    return this.#tensor(this.backend.argmax(x, outer, size, inner), without(x.shape, axis), 'int32');
  }

  /** float32 to int32 truncates towards zero. */
  cast(x: Tensor, dtype: DType): Tensor {
    return this.#tensor(this.backend.cast(x, dtype), x.shape, dtype);
  }

  // Weights and caches

  /** Reads a weight and lays it out for this backend. Outlives scopes; free it with `dispose`. */
  async pack(source: WeightSource | Int4Source, use: WeightUse): Promise<Weight> {
    const expected = use === 'experts' ? 3 : 2;
    if (source.shape.length !== expected)
      throw new ShapeError('pack', { [source.name]: source.shape }, `a weight for '${use}' has ${expected} axes`);
    return new Weight(source.name, source.shape, use, await this.backend.pack(source, use), this.#ledger);
  }

  /** An empty cache. Outlives scopes; free it with `dispose`. */
  createCache(spec: CacheSpec): KvCache {
    const layers = new Map(spec.layers.map((layer) => [layer, this.backend.createCacheLayer(spec)]));
    return new KvCache(spec, layers, this.#ledger);
  }

  // Transformer kernels. Legend as in `backend.ts`.

  /** [T, D]: rows of the embedding. */
  embed(weight: Weight, batch: Batch): Tensor {
    const [vocabulary, hidden] = weight.shape;
    const bad = batch.tokens.find((token) => !(token >= 0 && token < vocabulary));
    if (bad !== undefined)
      throw new ShapeError(
        'embed',
        { [weight.name]: weight.shape },
        `token ${bad} is not within 0 to ${vocabulary - 1}`,
        0,
      );
    return this.#tensor(this.backend.embed(weight, batch.tokens), [batch.tokens.length, hidden]);
  }

  /** [N, D]: rows of x [T, D] by index. */
  gather(x: Tensor, indices: Int32Array): Tensor {
    floats('gather', { x });
    rank('gather', 2, { x });
    const [rows, width] = x.shape;
    const bad = indices.find((index) => !(index >= 0 && index < rows));
    if (bad !== undefined)
      throw new ShapeError('gather', { x: x.shape }, `row ${bad} is not within 0 to ${rows - 1}`, 0);
    return this.#tensor(this.backend.gather(x, indices), [indices.length, width]);
  }

  rmsNorm(x: Tensor, norm: Norm<Tensor>): Tensor {
    checkNorm('rmsNorm', x, norm);
    return this.#tensor(this.backend.rmsNorm(x, norm), x.shape);
  }

  /** One [T, out] for each projection of the same input [T, in], with `norm` before and `add` [T, out] after. */
  linear(x: Tensor, projections: readonly Projection<Tensor, Weight>[], fusion: Fusion<Tensor> = {}): Tensor[] {
    checkFusion('linear', x, fusion, projections[0].weight.shape[0]);
    for (const projection of projections) checkProjection('linear', x.shape[1], projection);
    const storages = this.backend.linear(x, projections, fusion);
    return storages.map((storage, i) => this.#tensor(storage, [x.shape[0], projections[i].weight.shape[0]]));
  }

  /** `down(silu(gate(x)) * up(x))`, [T, D] -> [T, D], with `norm` before and `add` after. */
  gatedMlp(x: Tensor, weights: GatedProjections<Tensor, Weight>, fusion: Fusion<Tensor> = {}): Tensor {
    checkGated('gatedMlp', x, weights);
    checkFusion('gatedMlp', x, fusion, x.shape[1]);
    return this.#tensor(this.backend.gatedMlp(x, weights, fusion), x.shape);
  }

  /** Sparse mixture of gated experts, [T, D] -> [T, D]: softmax over the router's logits, top-k, weighted sum. */
  moe(
    x: Tensor,
    router: Weight,
    experts: GatedProjections<Tensor, Weight>,
    spec: MoeSpec,
    fusion: Fusion<Tensor> = {},
  ): Tensor {
    checkProjection('moe', x.shape[1], { weight: router });
    checkGated('moe', x, experts);
    checkFusion('moe', x, fusion, x.shape[1]);
    const [count] = router.shape;
    if (experts.gate.weight.shape[0] !== count || !(spec.topK >= 1 && spec.topK <= count))
      throw new ShapeError(
        'moe',
        { router: router.shape, experts: experts.gate.weight.shape },
        `top ${spec.topK} of ${count} experts cannot be chosen`,
        0,
      );
    return this.#tensor(this.backend.moe(x, router, experts, spec, fusion), x.shape);
  }

  /**
   * Rotates, appends to the cache's `layer`, attends: q [T, H d], k and v [T, K d] -> [T, H d]. Where only the last token
   * of each of S sequences asks, q and the result are [S, H d].
   */
  attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cache: KvCache | undefined,
    layer: number,
    batch: Batch,
    spec: AttentionSpec<Tensor>,
  ): Tensor {
    floats('attention', { q, k, v });
    const { heads, keyValueHeads, headDim, rotary } = spec;
    const tokens = batch.tokens.length;
    const shapes = { q: q.shape, k: k.shape, v: v.shape };
    const fits = (t: Tensor, rows: number, count: number): boolean =>
      t.shape.length === 2 && t.shape[0] === rows && t.shape[1] === count * headDim;
    const asking = q.shape[0] === tokens ? tokens : batch.sequences.length;
    if (heads % keyValueHeads !== 0)
      throw new ShapeError('attention', shapes, `${heads} heads do not divide by ${keyValueHeads} key-value heads`);
    if (!fits(q, asking, heads) || !fits(k, tokens, keyValueHeads) || !fits(v, tokens, keyValueHeads))
      throw new ShapeError(
        'attention',
        shapes,
        `expected q [${tokens},${heads * headDim}], k and v [${tokens},${keyValueHeads * headDim}]`,
      );
    if (asking < tokens) lastRows(batch); // refuses a sequence that has none
    const last = batch.positions.reduce((most, position) => Math.max(most, position), 0);
    if (rotary && (last >= rotary.cos.shape[0] || headDim !== 2 * rotary.cos.shape[1]))
      throw new ShapeError(
        'attention',
        { cos: rotary.cos.shape },
        `position ${last} and head size ${headDim} need at least [${last + 1},${headDim / 2}]`,
      );
    if (cache) cache.check(batch);
    else if (batch.sequences.some(({ start }) => start !== 0))
      throw new ShapeError('attention', shapes, 'a sequence that continues an earlier one needs a cache');
    return this.#tensor(this.backend.attention(q, k, v, cache, layer, batch, spec), q.shape);
  }

  /** [T]: each target's negative log-likelihood under `head(norm(h))`, no logits kept; a target of -1 gives 0. */
  crossEntropy(h: Tensor, head: Weight, targets: Int32Array, norm?: Norm<Tensor>): Tensor {
    checkProjection('crossEntropy', h.shape[1], { weight: head });
    if (norm) checkNorm('crossEntropy', h, norm);
    const [vocabulary] = head.shape;
    const bad = targets.find((target) => !(target >= -1 && target < vocabulary));
    if (targets.length !== h.shape[0] || bad !== undefined)
      throw new ShapeError(
        'crossEntropy',
        { h: h.shape, head: head.shape, targets: [targets.length] },
        bad === undefined ? 'one target a row is needed' : `target ${bad} is not within -1 to ${vocabulary - 1}`,
        0,
      );
    return this.#tensor(this.backend.crossEntropy(h, head, targets, norm), [targets.length]);
  }

  /** [T]: KL(p || q) of the next-token distributions p of `reference` and q of `h`, both [T, D] before `norm` and `head`. */
  divergence(reference: Tensor, h: Tensor, head: Weight, norm?: Norm<Tensor>): Tensor {
    checkProjection('divergence', h.shape[1], { weight: head });
    for (const x of [reference, h]) if (norm) checkNorm('divergence', x, norm);
    if (reference.shape.join() !== h.shape.join())
      throw new ShapeError('divergence', { reference: reference.shape, h: h.shape }, 'the shapes differ');
    return this.#tensor(this.backend.divergence(reference, h, head, norm), [h.shape[0]]);
  }

  // Passes that repeat

  /** None recorded yet. The memory of those to come counts as the backend's own; free it with `dispose`. */
  createReplays(): Replays {
    return new Replays(this.#ledger);
  }

  /**
   * `compute(x)`, which continues each sequence of a batch in its cache by one token. Where the backend can, the pass is
   * recorded the first time, and from then on run again without the host's part in it. Frees x.
   */
  replay(replays: Replays, pass: Repeated, x: Tensor, compute: (x: Tensor) => Tensor): Tensor {
    const { cache, batch } = pass;
    cache.check(batch);
    const found = replays.find(pass);
    const recording = found ? undefined : this.backend.record?.();
    if (!found?.replay && !recording) return compute(x);
    using _used = x;
    if (!recording) return this.#tensor(found!.replay!.run(x, batch, cache), x.shape);
    using scope = this.scope();
    try {
      const output = compute(this.#tensor(recording.begin(x), x.shape));
      const { result, replay } = recording.finish(output);
      replays.keep(pass, replay);
      return scope.keep(this.#tensor(result, output.shape));
    } catch (error) {
      recording.cancel();
      throw error;
    }
  }

  // Running sums

  /** Zeros. Outlives scopes; free it with `dispose`. */
  accumulator(length: number): Accumulator {
    return new Accumulator(length, this.backend.createAccumulator(length), this.#ledger);
  }

  /** Adds the sum over rows of cos(a_row, b_row) to one element. */
  cosine(a: Tensor, b: Tensor, into: Accumulator, index: number): void {
    floats('cosine', { a, b });
    rank('cosine', 2, { a, b });
    if (a.shape[0] !== b.shape[0] || a.shape[1] !== b.shape[1])
      throw new ShapeError('cosine', { a: a.shape, b: b.shape }, 'the shapes differ');
    if (!(index >= 0 && index < into.length))
      throw new ShapeError('cosine', { into: [into.length] }, `there is no element ${index}`, 0);
    this.backend.cosine(a, b, into.storage, index);
  }

  /** Adds X^T X of x [T, D] to D x D elements, row-major. */
  gram(x: Tensor, into: Accumulator): void {
    floats('gram', { x });
    rank('gram', 2, { x });
    if (into.length !== x.shape[1] ** 2)
      throw new ShapeError('gram', { x: x.shape, into: [into.length] }, `${x.shape[1] ** 2} elements are needed`);
    this.backend.gram(x, into.storage);
  }

  /** Adds A^T B of a [T, A] and b [T, B] to A x B elements, row-major. */
  crossGram(a: Tensor, b: Tensor, into: Accumulator): void {
    floats('crossGram', { a, b });
    rank('crossGram', 2, { a, b });
    if (a.shape[0] !== b.shape[0] || into.length !== a.shape[1] * b.shape[1])
      throw new ShapeError(
        'crossGram',
        { a: a.shape, b: b.shape, into: [into.length] },
        `as many rows, and ${a.shape[1] * b.shape[1]} elements are needed`,
      );
    this.backend.crossGram(a, b, into.storage);
  }

  readAccumulator(accumulator: Accumulator): Promise<Float64Array> {
    return this.backend.readAccumulator(accumulator.storage, accumulator.length);
  }
}

type Named = Record<string, Tensor>;

const shapesOf = (tensors: Named): Record<string, Shape> =>
  Object.fromEntries(Object.entries(tensors).map(([name, { shape }]) => [name, shape]));

function floats(op: string, tensors: Named): void {
  for (const [name, { dtype }] of Object.entries(tensors))
    if (dtype !== 'float32')
      throw new ShapeError(op, shapesOf(tensors), `${name} is ${dtype}, but float32 is needed (use cast)`);
}

function rank(op: string, axes: number, tensors: Named): void {
  for (const [name, { shape }] of Object.entries(tensors))
    if (shape.length !== axes)
      throw new ShapeError(op, shapesOf(tensors), `${name} has ${shape.length} axes, but ${axes} are needed`);
}

function broadcast(op: string, a: Tensor, b: Tensor): void {
  floats(op, { lhs: a, rhs: b });
  const tail = a.shape.slice(a.shape.length - b.shape.length);
  if (b.size === 1 || (b.shape.length <= a.shape.length && b.shape.every((size, i) => size === tail[i]))) return;
  throw new ShapeError(op, { lhs: a.shape, rhs: b.shape }, "rhs is neither one element nor the lhs's last sizes");
}

/** The sizes before, at and after an axis; a negative axis counts from the last. */
function around(op: string, x: Tensor, axis: number): [number, number, number] {
  floats(op, { x });
  const at = axis < 0 ? x.shape.length + axis : axis;
  if (!(at >= 0 && at < x.shape.length)) throw new ShapeError(op, { x: x.shape }, `there is no axis ${axis}`, axis);
  return [sizeOf(x.shape.slice(0, at)), x.shape[at], sizeOf(x.shape.slice(at + 1))];
}

const without = (shape: Shape, axis: number): Shape =>
  shape.filter((_, i) => i !== (axis < 0 ? shape.length + axis : axis));

function checkNorm(op: string, x: Tensor, { gain }: Norm<Tensor>): void {
  floats(op, { x, gain });
  rank(op, 2, { x });
  if (gain.size !== x.shape[1])
    throw new ShapeError(op, { x: x.shape, gain: gain.shape }, `the gain needs ${x.shape[1]} elements`);
}

function checkFusion(op: string, x: Tensor, { norm, add }: Fusion<Tensor>, out: number): void {
  floats(op, { x });
  rank(op, 2, { x });
  if (norm) checkNorm(op, x, norm);
  if (add && (add.dtype !== 'float32' || add.shape[0] !== x.shape[0] || add.shape[1] !== out))
    throw new ShapeError(op, { x: x.shape, add: add.shape }, `what is added must be float32 [${x.shape[0]},${out}]`);
}

function checkProjection(op: string, inner: number, { weight, bias }: Projection<Tensor, Weight>): void {
  const [out, width] = weight.shape.slice(-2);
  if (width !== inner)
    throw new ShapeError(
      op,
      { x: [-1, inner], [weight.name]: weight.shape },
      `inner sizes ${inner} and ${width} differ`,
    );
  if (bias && bias.size !== out)
    throw new ShapeError(op, { [weight.name]: weight.shape, bias: bias.shape }, `the bias needs ${out} elements`);
}

function checkGated(op: string, x: Tensor, { gate, up, down }: GatedProjections<Tensor, Weight>): void {
  checkProjection(op, x.shape[1], gate);
  checkProjection(op, x.shape[1], up);
  checkProjection(op, up.weight.shape.at(-2)!, down);
  if (gate.weight.shape.at(-2) !== up.weight.shape.at(-2) || down.weight.shape.at(-2) !== x.shape[1])
    throw new ShapeError(
      op,
      { gate: gate.weight.shape, up: up.weight.shape, down: down.weight.shape },
      'gate and up must agree, and down must lead back',
    );
}
