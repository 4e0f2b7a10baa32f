import { join } from 'node:path';
import type { SavedProgress } from '../progress/index.js';
import {
  DiskStates,
  MemoryStates,
  ModuleRows,
  embedded,
  moduleStream,
  type HiddenStates,
  type WalkOptions,
} from '../walk/index.js';
import { UserError, checkOptions, flag, number, oneOf, whole, type Options } from '../engine/index.js';
import {
  Model,
  allWeights,
  modulesOf,
  tensorName,
  type ModuleKind,
  type Parameters,
  type WeightSpec,
} from '../models/index.js';
import { AwqModules } from './awqModules.js';
import { leastDamping } from './gptq.js';
import { GptqModules } from './gptqModules.js';
import { groupOptions, groupQuantized, type GroupOptions } from './groupQuantizer.js';
import { Projections, projectionsOf, type ProjectionResult } from './projections.js';
import { QuantizedTensors, replacedParameters, type Replacement } from './quantizedTensors.js';
import { readAll } from './rowMap.js';
import { separateExperts } from './separateExperts.js';

export const quantizeMethods = ['rtn', 'gptq', 'awq'] as const;
export type QuantizeMethod = (typeof quantizeMethods)[number];

/** How far an interrupted quantization has come. */
export interface QuantizeState {
  /** Layers that are done. */
  readonly layers: number;
  readonly results: readonly ProjectionResult[];
  readonly warnings: readonly string[];
}

/** Where the state is kept: a `ProgressFile` is one. */
export type QuantizeProgress = SavedProgress<QuantizeState>;

export interface QuantizeModelOptions extends GroupOptions, Omit<WalkOptions, 'observer'> {
  readonly method: QuantizeMethod;
  /** Of GPTQ: see `GptqOptions`. */
  readonly damping?: number;
  readonly actOrder?: boolean;
  /** Tokens that must visit an expert for it to be calibrated on them alone. @defaultValue 128 */
  readonly expertFloor?: number;
  /** The output projection too, rounded to nearest. @defaultValue false */
  readonly head?: boolean;
  /** Continues what it holds, and saves there after each layer. @defaultValue everything stays in memory */
  readonly progress?: QuantizeProgress;
}

/** What `damping` may be for a job. */
export const dampingOption = number('a number between 0 and 1', (damping) => damping > 0 && damping < 1);

/** What these may be. */
export const quantizeOptions: Options<QuantizeModelOptions> = {
  ...groupOptions,
  method: oneOf(quantizeMethods),
  damping: leastDamping,
  actOrder: flag,
  expertFloor: whole(0),
  head: flag,
};

/** A model's int4 weights. Holds files open where they lie in some. */
export interface QuantizedModel extends AsyncDisposable {
  /** What takes a tensor's place; undefined where nothing does. */
  readonly replaced: (tensor: string) => Replacement | undefined;
  /** The whole checkpoint as floats, also where weights were quantized. */
  readonly parameters: Parameters;
  readonly results: readonly ProjectionResult[];
  readonly warnings: readonly string[];
}

/**
 * Quantizes a model's projections layer by layer, what is dropped left out. `model` need not be loaded; its own skip flags
 * and loaded weights are neither used nor changed. A single module's weights are in memory at a time, beside the hidden
 * states of all rows, which lie on the disk where `progress` has a folder. `rtn` needs no rows.
 */
export async function quantizeModel(
  model: Model,
  rows: readonly Int32Array[],
  options: QuantizeModelOptions,
): Promise<QuantizedModel> {
  model.checkAlive();
  checkOptions(options, quantizeOptions);
  const { method, progress } = options;
  if (method !== 'rtn' && rows.length === 0) throw new UserError(`${method} needs at least one calibration row`);
  if (model.parameters.quantize)
    throw new UserError('quantizing needs the weights as they are stored, not in 4 bits already');
  const tensors = new QuantizedTensors(progress && join(progress.folder, 'layers'));
  try {
    return await new Quantization(model, rows, tensors, options).run();
  } catch (error) {
    await tensors[Symbol.asyncDispose]();
    throw error;
  }
}

/** The tensors of all projections that are not skipped: what becomes int4, beside the head. */
export const projectionTensors = ({ layers }: Pick<Model, 'layers'>): string[] =>
  layers.flatMap((layer) =>
    modulesOf(layer.description)
      .filter(([kind]) => !layer.skips(kind))
      .flatMap(([, module]) => projectionsOf(module))
      .map(({ weight, expert }) => tensorName(weight, expert)),
  );

interface ModuleQuantizer {
  /** Quantizes a module's projections, and writes the stream after the module. */
  quantize(layer: number, kind: ModuleKind): Promise<void>;
}

/** Refuses a head whose rows are made anew of what is stored: made of rounded rows, they would not be those. */
export function checkHead({ made, names }: WeightSpec): void {
  if (made)
    throw new UserError(`${names.hf} is stored otherwise than it is computed with, so it is not quantized`, {
      hint: 'leave `head` out',
    });
}

class Quantization {
  readonly #projections: Projections;
  readonly #parameters: Parameters;
  readonly #model: Model;
  readonly #warnings: string[] = [];

  constructor(
    { engine, description, parameters, drops, layers }: Model,
    private readonly rows: readonly Int32Array[],
    private readonly tensors: QuantizedTensors,
    private readonly options: QuantizeModelOptions,
  ) {
    const replaced = (tensor: string): Replacement | undefined => tensors.get(tensor);
    const stored = separateExperts(parameters, allWeights(description));
    this.#parameters = replacedParameters(stored, replaced);
    this.#model = new Model(engine, description, this.#parameters);
    this.#model.setDrops(drops);
    const total = projectionTensors({ layers }).length;
    this.#projections = new Projections(description, stored, tensors, options, () => {
      options.signal?.throwIfAborted();
      options.onProgress?.(this.#projections.results.length, total, 'projections');
    });
  }

  async run(): Promise<QuantizedModel> {
    const { tensors, options } = this;
    const { progress } = options;
    const done = progress?.previous?.layers ?? 0;
    for (let layer = 0; layer < done; layer++) await tensors.open(layer);
    this.#projections.results.push(...(progress?.previous?.results ?? []));
    this.#warnings.push(...(progress?.previous?.warnings ?? []));
    using _model = this.#model;
    using states = this.#states();
    await this.#layers(done, states);
    if (options.head) await this.#head();
    return {
      replaced: (tensor) => tensors.get(tensor),
      parameters: this.#parameters,
      results: this.#projections.results,
      warnings: this.#warnings,
      [Symbol.asyncDispose]: () => tensors[Symbol.asyncDispose](),
    };
  }

  #states(): HiddenStates {
    const { rows, options } = this;
    if (!options.progress || options.method === 'rtn') return new MemoryStates();
    const lengths = rows.map(({ length }) => length);
    return new DiskStates(lengths, this.#model.config.hiddenSize, join(options.progress.folder, 'rows'), true);
  }

  async #layers(first: number, states: HiddenStates): Promise<void> {
    const { options, tensors } = this;
    const { progress, signal } = options;
    const model = this.#model;
    const waits = options.method === 'rtn' ? [] : this.rows;
    const rows = new ModuleRows(model, waits, states, signal);
    const quantizer = this.#quantizer(rows);
    if (first === 0)
      for (const [row, tokens] of waits.entries()) {
        signal?.throwIfAborted();
        states.write(0, row, await embedded(model, tokens));
      }
    for (const { index } of model.layers.slice(first)) {
      states.keep([moduleStream(index, 'attention')]);
      for (const kind of ['attention', 'mlp'] as const)
        if (model.layers[index].skips(kind)) rows.passOn(index, kind);
        else await quantizer.quantize(index, kind);
      const file = await tensors.save(index);
      states.sync();
      const state = { layers: index + 1, results: this.#projections.results, warnings: this.#warnings };
      await progress?.save(state, [join('layers', file)]);
    }
  }

  #quantizer(rows: ModuleRows): ModuleQuantizer {
    const { expertFloor = 128 } = this.options;
    const options = { ...this.options, expertFloor };
    const warn = (text: string): void => void this.#warnings.push(text);
    if (options.method === 'gptq') return new GptqModules(rows, this.#projections, options, warn);
    if (options.method === 'awq') return new AwqModules(rows, this.#projections, { ...options, clip: 'none' }, warn);
    return { quantize: (layer, kind) => this.#roundModule(layer, kind) };
  }

  async #roundModule(layer: number, kind: ModuleKind): Promise<void> {
    for (const at of projectionsOf(this.#projections.module(layer, kind))) {
      const source = this.#projections.source(at);
      const rows = await groupQuantized(source, this.options).readInt4(0, source.shape[0]);
      this.#projections.replace(at, rows, await readAll(source));
    }
  }

  /** The output projection is rounded to nearest as it is read: it may be larger than a layer. */
  async #head(): Promise<void> {
    const { tensors } = this;
    const { weight } = this.#model.description.head;
    if (!weight)
      throw new UserError("the model's output projection is its embedding, so it is not quantized on its own", {
        hint: 'leave `head` out',
      });
    checkHead(weight);
    const name = tensorName(weight);
    tensors.set(name, groupQuantized(this.#projections.stored.source(name), this.options));
  }
}
