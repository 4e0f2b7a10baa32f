import { host } from '../engine/hosts/index.js';
import {
  CacheError,
  UseAfterFreeError,
  UserError,
  lastRows,
  type Batch,
  type Engine,
  type Head,
  type KvCache,
  type Replays,
  type Norm,
  type Tensor,
  type Weight,
} from '../engine/index.js';
import type { ModelConfig } from './config.js';
import { Context, type Observer, type Pass } from './context.js';
import { freeing } from './freeing.js';
import { globalWeights, outputWeights, type ModelDescription } from './description.js';
import { checkedIndices, recordedDrops, type Drops } from './drops.js';
import { Layer } from './layer.js';
import { loadModule, type LoadedModule } from './loadModule.js';
import type { Parameters } from './parameters.js';
import { turningLength } from './rope.js';
import { RotaryTables } from './rotaryTables.js';
import { SlopeTables } from './slopes.js';
import { kvBytesPerToken } from './size.js';
import type { ModuleKind } from './weights.js';

export interface PassOptions {
  /** The tokens that came before in each sequence; the new ones are appended. */
  readonly cache?: KvCache;
  readonly observer?: Observer;
  /**
   * Ask only for the last token of each of S sequences: the result is [S, D]. After the last attention that is not
   * skipped, no token reads another, so the other tokens end there; their keys and values are cached like all.
   * @defaultValue false
   */
  readonly last?: boolean;
  /** Ends `forwardYielding` the next time it yields; it throws the reason of the signal. */
  readonly signal?: AbortSignal;
}

/** Milliseconds that `forwardYielding` computes before it yields to others. */
const longestTurn = 10;

const isSingle = ({ sequences }: Batch): boolean => sequences.every(({ length }) => length === 1);

/** What makes logits; where they are tied, the embedding is the projection. */
interface OutputWeights {
  readonly norm: Tensor;
  readonly head?: Weight;
  readonly embedding?: Weight;
}

interface GlobalWeights extends OutputWeights {
  readonly embedding: Weight;
}

/** A decoder-only language model. T tokens of a batch, D hidden size, V vocabulary. */
export class Model {
  readonly layers: readonly Layer[];
  readonly #rotaries: RotaryTables;
  readonly #slopes: SlopeTables;
  /** Which drops each cache was made for. */
  readonly #caches = new WeakMap<KvCache, string>();
  readonly #replays: Replays;
  #globals: LoadedModule<GlobalWeights> | undefined;
  /** Loaded by itself, where layers are streamed. */
  #ending: LoadedModule<OutputWeights> | undefined;
  #dropsKey: string | undefined;
  #disposed = false;

  constructor(
    readonly engine: Engine,
    readonly description: ModelDescription,
    readonly parameters: Parameters,
  ) {
    this.#replays = engine.createReplays();
    const attentions = description.layers.map(({ attention }) => attention);
    this.#rotaries = new RotaryTables(engine, attentions);
    this.#slopes = new SlopeTables(engine, attentions);
    const changed = (): void => void (this.#dropsKey = undefined);
    this.layers = description.layers.map((layer, i) => new Layer(i, engine, layer, parameters, changed));
    this.skip(recordedDrops(this.config));
  }

  /** Sizes and keys that all families have. */
  get config(): ModelConfig {
    return this.description.config;
  }

  /** Loads everything that is not skipped. `onLayer` is told how many layers are done. */
  async load(onLayer?: (done: number, total: number) => void): Promise<this> {
    this.checkAlive();
    if (!this.#globals) {
      const globals = await loadModule<GlobalWeights>(this.engine, this.parameters, globalWeights(this.description));
      // Meanwhile, another call may have loaded them, or the model may be gone.
      if (this.#globals || this.#disposed) globals.dispose();
      else this.#globals = globals;
    }
    for (const [i, layer] of this.layers.entries()) {
      await layer.load();
      onLayer?.(i + 1, this.layers.length);
    }
    return this;
  }

  /** Loads what `logits`, `losses` and `divergences` need, and no layer; `unload` frees it. */
  async loadOutput(): Promise<void> {
    this.checkAlive();
    this.#ending ??= await loadModule<OutputWeights>(this.engine, this.parameters, outputWeights(this.description));
  }

  /** False before `load`: then layers can still be loaded and run one at a time. */
  get isLoaded(): boolean {
    return this.#globals !== undefined;
  }

  get #loaded(): GlobalWeights {
    this.checkAlive();
    if (!this.#globals) throw new UserError('the model is not loaded', { hint: 'await model.load() first' });
    return this.#globals.weights;
  }

  get embedding(): Weight {
    return this.#loaded.embedding;
  }

  /** The output projection [V, D]: the embedding where they are tied. */
  get head(): Weight {
    const { head, embedding } = this.#ending?.weights ?? this.#loaded;
    return (head ?? embedding)!;
  }

  get norm(): Norm<Tensor> {
    const { norm } = this.#ending?.weights ?? this.#loaded;
    return { gain: norm, epsilon: this.description.head.norm.epsilon };
  }

  /** Bytes of all weights in the backend's memory. */
  get bytes(): number {
    return this.layers.reduce((sum, layer) => sum + layer.bytes, this.#globals?.bytes ?? 0);
  }

  // Skip flags

  /** What is skipped now. */
  get drops(): Drops {
    const where = (kind: ModuleKind): number[] =>
      this.layers.filter((layer) => layer.skips(kind)).map(({ index }) => index);
    return { attention: where('attention'), mlp: where('mlp') };
  }

  /** A text that tells drops apart. */
  get #dropped(): string {
    return (this.#dropsKey ??= JSON.stringify(this.drops));
  }

  /**
   * Skips these modules as well. Takes microseconds. A key-value cache is refused until exactly those modules are
   * skipped again that were when it was made.
   */
  skip({ attention = [], mlp = [] }: Partial<Drops>): void {
    for (const i of checkedIndices(attention, this.layers.length, 'the attention drop list'))
      this.layers[i].skipAttention = true;
    for (const i of checkedIndices(mlp, this.layers.length, 'the MLP drop list')) this.layers[i].skipMlp = true;
  }

  /** Skips exactly these modules. */
  setDrops({ attention, mlp }: Drops): void {
    const [a, m] = [
      checkedIndices(attention, this.layers.length, 'the attention drop list'),
      checkedIndices(mlp, this.layers.length, 'the MLP drop list'),
    ];
    for (const layer of this.layers) {
      layer.skipAttention = a.includes(layer.index);
      layer.skipMlp = m.includes(layer.index);
    }
  }

  /** Frees the weights of what is skipped; `layer.load()` reads them again. */
  release(): void {
    for (const layer of this.layers) layer.release();
  }

  // Running

  /** The residual stream [T, D] that enters the first layer. */
  embed(batch: Batch): Tensor {
    const { scale } = this.description.embedding;
    const rows = this.engine.embed(this.embedding, batch);
    if (scale === undefined) return rows;
    using _unscaled = rows;
    return this.engine.map(rows, ['multiply', 'x', scale]);
  }

  /** An empty cache for the layers that attend now. `capacity` is tokens per slot. */
  createCache({
    slots = 1,
    capacity = this.config.maxPositionEmbeddings,
    dtype = 'float32' as const,
  }: { slots?: number; capacity?: number; dtype?: 'float32' | 'float16' } = {}): KvCache {
    this.checkAlive();
    // All layers' keys and values have one shape: the first's.
    const { keyValueHeads, headDim } = this.description.layers[0].attention;
    const layers = this.layers.filter(({ skipAttention }) => !skipAttention).map(({ index }) => index);
    const cache = this.engine.createCache({ layers, slots, capacity, keyValueHeads, headDim, dtype });
    this.#caches.set(cache, this.#dropped);
    return cache;
  }

  /**
   * Whether the keys of `held` tokens in a cache are turned as those of a text of `length` tokens: not always where the
   * rotary angles change with the length (`dynamic`, `longrope`).
   */
  keepsAngles(held: number, length: number): boolean {
    if (held === 0) return true;
    return this.description.layers.every(
      ({ attention: { rope } }) => !rope || turningLength(rope, held) === turningLength(rope, length),
    );
  }

  /** Bytes that one token takes in a cache, over the layers that attend now. */
  kvBytesPerToken(dtype: 'float32' | 'float16' = 'float32'): number {
    return kvBytesPerToken(this.description, this.drops, dtype === 'float16' ? 2 : 4);
  }

  /** The residual stream after the last layer, [T, D] or with `last` [S, D], before the final norm. Reads nothing back. */
  forward(batch: Batch, options: PassOptions = {}): Tensor {
    return this.forwardFrom(0, this.embed(batch), batch, options);
  }

  /**
   * Gives the same bits as `forward`, but yields every few milliseconds, between layers, so that timers, signals and
   * sockets of this process have their turn. Nothing else may use the engine meanwhile (`engine.exclusive`). Throws a
   * CacheError if skip flags change before it ends. A pass that ends early leaves the cache as long as it was.
   */
  async forwardYielding(batch: Batch, options: PassOptions = {}): Promise<Tensor> {
    if (options.cache && isSingle(batch)) return this.forward(batch, options);
    const pass = this.#passOf(batch, options);
    const dropped = this.#dropped;
    const passing = this.#layersFrom(0, this.embed(batch), pass);
    try {
      let since = performance.now();
      for (let step = passing.next(); ; step = passing.next()) {
        if (step.done) {
          pass.cache?.advance(batch);
          return step.value;
        }
        if (performance.now() - since < longestTurn) continue;
        await host.nextTurn();
        options.signal?.throwIfAborted();
        this.checkAlive();
        if (this.#dropped !== dropped)
          throw new CacheError('skip flags changed in the midst of a pass: wait for its end');
        since = performance.now();
      }
    } finally {
      passing.return(undefined as never); // frees what the pass holds, if it has not ended
    }
  }

  /**
   * The rest of a pass: from the residual stream [T, D] that enters layer `first`, which it frees, to that after the
   * last layer. `forwardFrom(0, embedding)` is a whole pass.
   */
  forwardFrom(first: number, hidden: Tensor, batch: Batch, options: PassOptions = {}): Tensor {
    const { cache, observer } = options;
    const pass = freeing(hidden, () => this.#passOf(batch, options));
    if (cache && isSingle(batch) && first === 0 && !observer && !pass.rotaries.mixed)
      hidden = this.engine.replay(
        this.#replays,
        { key: this.#dropped, uses: [pass.rotaries], cache, batch },
        hidden,
        (x, padded) => this.#runFrom(0, x, { ...pass, batch: padded }),
      );
    else hidden = this.#runFrom(first, hidden, pass);
    cache?.advance(batch);
    return hidden;
  }

  #passOf(batch: Batch, { cache, observer, last }: PassOptions): Pass {
    this.checkAlive();
    if (cache) this.engine.checkOwn('forward', cache);
    if (cache && this.#caches.get(cache) !== this.#dropped)
      throw new CacheError(
        'this key-value cache was made under other skip flags (or by another model): make a new one',
      );
    if (cache && batch.sequences.some(({ start, length }) => !this.keepsAngles(start, start + length)))
      throw new CacheError(
        "the angles of this model's rotary embedding change with the length of the text, and those of the keys in the cache are of a shorter one: truncate the slot, and pass the whole text",
      );
    return {
      batch,
      rotaries: this.#rotaries.of(batch),
      slopes: this.#slopes.all,
      cache,
      observer,
      last: last && !isSingle(batch),
    };
  }

  #runFrom(first: number, hidden: Tensor, pass: Pass): Tensor {
    const passing = this.#layersFrom(first, hidden, pass);
    for (;;) {
      const step = passing.next();
      if (step.done) return step.value;
    }
  }

  /** Runs one layer after the other, and yields after each. If it is ended early, it frees the stream. */
  *#layersFrom(first: number, hidden: Tensor, pass: Pass): Generator<undefined, Tensor> {
    const narrowing = pass.last ? this.lastAttention : undefined;
    if (narrowing !== undefined && narrowing < first) {
      using all = hidden;
      hidden = this.engine.gather(all, lastRows(pass.batch));
    }
    let ended = false;
    try {
      pass.observer?.stream?.(first, hidden);
      for (const layer of this.layers.slice(first)) {
        const context = new Context(this.engine, pass, layer.index, layer.index === narrowing);
        hidden = this.#run(layer, hidden, context);
        pass.observer?.stream?.(layer.index + 1, hidden);
        yield;
      }
      ended = true;
      return hidden;
    } finally {
      if (!ended) hidden.dispose();
    }
  }

  /** The last layer that attends now; -1 where none does. */
  get lastAttention(): number {
    return this.layers.findLastIndex(({ skipAttention }) => !skipAttention);
  }

  /**
   * One layer of a pass without a cache: from the residual stream [T, D] that enters it, which it frees, to that which
   * leaves it. No other layer need be loaded.
   */
  runLayer(index: number, hidden: Tensor, batch: Batch, { observer }: Pick<PassOptions, 'observer'> = {}): Tensor {
    return freeing(hidden, () => {
      const context = new Context(this.engine, this.#passOf(batch, { observer }), index);
      const after = this.#run(this.layers[index], hidden, context);
      freeing(after, () => observer?.stream?.(index + 1, after));
      return after;
    });
  }

  #run(layer: Layer, before: Tensor, context: Context): Tensor {
    using scope = this.engine.scope();
    const hidden = scope.keep(layer.run(before, context));
    if (hidden !== before) before.dispose();
    return hidden;
  }

  /** Norm and output projection, with what becomes of the logits. */
  get #output(): Head<Tensor, Weight> {
    const { scale, softCap } = this.description.head;
    return { weight: this.head, norm: this.norm, scale, softCap };
  }

  /** hidden [T, D] -> logits [T, V], through the final norm. */
  logits(hidden: Tensor): Tensor {
    return this.engine.logits(hidden, this.#output);
  }

  /** hidden [T, D] -> [T]: negative log-likelihood of each target; -1 gives 0. */
  losses(hidden: Tensor, targets: Int32Array): Tensor {
    return this.engine.crossEntropy(hidden, this.#output, targets);
  }

  /** [T]: KL divergence of the next-token distributions after `hidden` from those after `reference`, both [T, D]. */
  divergences(reference: Tensor, hidden: Tensor): Tensor {
    return this.engine.divergence(reference, hidden, this.#output);
  }

  /** Frees the weights; `load` reads them again. */
  unload(): void {
    for (const layer of this.layers) layer.unload();
    this.#globals?.dispose();
    this.#ending?.dispose();
    this.#globals = this.#ending = undefined;
  }

  /** Throws a UseAfterFreeError after `dispose`. */
  checkAlive(): void {
    if (this.#disposed) throw new UseAfterFreeError('a model');
  }

  /**
   * Frees weights and tables, for good; the engine stays. A pass or a `load` under way ends with a UseAfterFreeError, as
   * does all that is asked of the model from then on. Harmless when repeated.
   */
  dispose(): void {
    this.#disposed = true;
    this.#replays.dispose();
    this.unload();
    for (const layer of this.layers) layer.dispose();
    this.#rotaries.dispose();
    this.#slopes[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
