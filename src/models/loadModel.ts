import { createEngine, type BackendName, type Engine, type EngineOptions } from '../engine/index.js';
import { openCheckpoint, type Checkpoint } from '../checkpoint/index.js';
import { completeConfig, parseConfig, type PartialConfig } from './config.js';
import { familyOf } from './families.js';
import { fitsMemory, type MemoryLimit } from './memoryNeeds.js';
import { Model, type Drops } from './model.js';
import { randomParameters, withQuantizer, type Quantize } from './parameters.js';

export interface LoadOptions extends EngineOptions {
  /** Load onto this engine, or a new one of a backend by name. @defaultValue a new `wasm` engine */
  readonly engine?: Engine;
  readonly backend?: BackendName;
  /** Skipped from the start, besides what the config drops: their weights are not read. */
  readonly drops?: Partial<Drops>;
  /** Holds matrices in another form, e.g. `rtnQuantizer({ groupSize: 32 })` for int4. @defaultValue as they are stored */
  readonly quantize?: Quantize;
  /** Where the weights do not fit, they stay on the disk (`isLoaded` is false), to be streamed. @defaultValue load all */
  readonly memory?: MemoryLimit;
  readonly onProgress?: (done: number, total: number, unit: string) => void;
}

/** A model and the checkpoint it came from. Disposing it frees the weights, closes the files, and disposes an engine made for it. */
export class LoadedModel extends Model implements AsyncDisposable {
  constructor(
    engine: Engine,
    readonly checkpoint: Checkpoint,
    private readonly ownsEngine: boolean,
    quantize?: Quantize,
  ) {
    const config = parseConfig(checkpoint.config, `${checkpoint.folder}/config.json`);
    super(
      engine,
      config,
      familyOf(config, `${checkpoint.folder}/config.json`),
      quantize ? withQuantizer(checkpoint, quantize) : checkpoint,
    );
  }

  async close(): Promise<void> {
    this.dispose();
    await this.checkpoint.close();
    if (this.ownsEngine) this.engine.dispose();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Loads a Hugging Face folder. What its config drops, or `drops` names, is never read from disk. */
export async function loadModel(path: string, options: LoadOptions = {}): Promise<LoadedModel> {
  const checkpoint = await openCheckpoint(path);
  let model: LoadedModel | undefined;
  const engine = options.engine ?? (await createEngine(options.backend, options));
  try {
    model = new LoadedModel(engine, checkpoint, !options.engine, options.quantize);
    model.skip(options.drops ?? {});
    if (!options.memory || fitsMemory(model, options.memory))
      await model.load((done, total) => options.onProgress?.(done, total, 'layers'));
    return model;
  } catch (error) {
    model?.dispose();
    await checkpoint.close();
    if (!options.engine) engine.dispose();
    throw error;
  }
}

/** A model of random weights, the same for the same seed: for experiments. */
export async function createModel(
  config: PartialConfig,
  { seed = 0, engine, quantize }: { seed?: number; engine: Engine; quantize?: Quantize },
): Promise<Model> {
  const complete = completeConfig(config);
  const family = familyOf(complete, 'createModel');
  const parameters = randomParameters(family.weights(complete), complete.numHiddenLayers, seed);
  return new Model(engine, complete, family, quantize ? withQuantizer(parameters, quantize) : parameters).load();
}
