import { createEngine, type BackendChoice, type Engine, type EngineOptions } from '../engine/index.js';
import type { ModelSource } from '../checkpoint/index.js';
import type { PartialConfig } from './config.js';
import { allWeights } from './description.js';
import type { Drops } from './drops.js';
import { describeConfig } from './families/index.js';
import { fitsMemory, type MemoryLimit } from './memoryNeeds.js';
import { Model } from './model.js';
import { openModel, type AdapterOptions, type OpenedModel } from './openModel.js';
import { randomParameters, withQuantizer, type Quantize } from './parameters.js';

export interface LoadOptions extends EngineOptions, AdapterOptions {
  /** Load onto this engine, or a new one of a backend by name. @defaultValue a new `wasm` engine */
  readonly engine?: Engine;
  readonly backend?: BackendChoice;
  /** Skipped from the start, besides what the config drops: their weights are not read. */
  readonly drops?: Partial<Drops>;
  /** Holds matrices in another form, e.g. `rtnQuantizer({ groupSize: 32 })` for int4. @defaultValue as they are stored */
  readonly quantize?: Quantize;
  /**
   * The memory that weights may take. If they do not fit, they stay on the disk, to be streamed (`isLoaded` is false).
   * @defaultValue load all
   */
  readonly memory?: MemoryLimit;
  readonly onProgress?: (done: number, total: number, unit: string) => void;
}

/** A model and where it came from. */
export class LoadedModel extends Model implements AsyncDisposable, OpenedModel {
  readonly source: ModelSource;
  readonly notes: readonly string[];
  readonly merged?: string;
  #closed: Promise<void> | undefined;

  constructor(
    engine: Engine,
    { source, description, notes, merged }: OpenedModel,
    private readonly ownsEngine: boolean,
    quantize?: Quantize,
  ) {
    super(engine, description, quantize ? withQuantizer(source, quantize) : source);
    this.source = source;
    this.notes = notes;
    this.merged = merged;
  }

  /** Frees the weights, closes the files, and disposes an engine made for it. `close` does the same, and waits for the files. */
  override dispose(): void {
    if (this.#closed) return;
    super.dispose();
    this.#closed = this.source.close();
    this.#closed.catch(() => undefined); // of use to `close` alone
    if (this.ownsEngine) this.engine.dispose();
  }

  async close(): Promise<void> {
    this.dispose();
    await this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/**
 * Loads a Hugging Face folder, a GGUF file, or what was opened of one, which then belongs to the model. What its config
 * drops, or `drops` names, is never read from disk.
 */
export async function loadModel(from: string | OpenedModel, options: LoadOptions = {}): Promise<LoadedModel> {
  const opened = typeof from === 'string' ? await openModel(from, options) : from;
  let model: LoadedModel | undefined;
  let engine: Engine | undefined;
  try {
    engine = options.engine ?? (await createEngine(options.backend, options));
    model = new LoadedModel(engine, opened, !options.engine, options.quantize);
    model.skip(options.drops ?? {});
    if (!options.memory || fitsMemory(model, options.memory))
      await model.load((done, total) => options.onProgress?.(done, total, 'layers'));
    return model;
  } catch (error) {
    await (model ?? opened.source).close();
    if (!options.engine && !model) engine?.dispose();
    throw error;
  }
}

/** A model of random weights, the same for the same seed: for experiments. */
export async function createModel(
  config: PartialConfig,
  { seed = 0, engine, quantize }: { seed?: number; engine: Engine; quantize?: Quantize },
): Promise<Model> {
  const description = describeConfig(config);
  const parameters = randomParameters(allWeights(description), seed);
  const model = new Model(engine, description, quantize ? withQuantizer(parameters, quantize) : parameters);
  return model.load().catch((error: unknown) => {
    model.dispose();
    throw error;
  });
}
