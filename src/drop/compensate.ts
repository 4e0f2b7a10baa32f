import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskStates, MemoryStates, type HiddenStates } from '../walk/index.js';
import { UserError, checkOptions, oneOf } from '../engine/index.js';
import {
  addressableBytes,
  defaultMaxMemory,
  memoryOption,
  modulesOf,
  outputWeight,
  recordedDrops,
  tensorName,
  type Drops,
  type Model,
  type Parameters,
} from '../models/index.js';
import {
  compensationModes,
  compensationPlan,
  type CompensationMode,
  type ModuleAt,
  type Stretch,
} from './compensatePlan.js';
import { RefitWeights } from './compensateWeights.js';
import { Compensator, alphaOption, outputOf, type CompensatorOptions, type Refit } from './compensator.js';

export interface CompensateOptions extends CompensatorOptions {
  /** @defaultValue 'all' */
  readonly mode?: CompensationMode;
  /** Bytes that the process may take; hidden states go to the disk when they would take half of it. */
  readonly maxMemory?: number;
}

/** What was refit. Holds files open where the weights lie in some. */
export interface Compensation extends AsyncDisposable {
  readonly mode: CompensationMode;
  readonly alpha: number;
  readonly refits: readonly Refit[];
  /** Dropped modules that no refit projection comes right before, so that nothing of them is given back. */
  readonly leftAlone: readonly ModuleAt[];
  /** The refit tensors, in the types that the checkpoint has them in. */
  readonly weights: RefitWeights;
}

/**
 * Gives back part of what dropped modules added to the residual stream: output projections that stay are refit in
 * closed form, one after the other in running order. Each is fitted on the inputs that it gets in the dropped model as
 * refit so far, so that earlier errors are corrected too. `model` is the whole model; its own skip flags and loaded
 * weights are neither used nor changed, and what its config drops does not belong to it. One module's weights are in
 * memory at a time, and two streams of hidden states of all rows.
 *
 * Related: ReplaceMe (Shopkhoev et al., 2025) estimates one linear map for a run of dropped blocks.
 */
export async function compensate(
  model: Model,
  drops: Drops,
  rows: readonly Int32Array[],
  options: CompensateOptions = {},
): Promise<Compensation> {
  model.checkAlive();
  checkOptions(options, { mode: oneOf(compensationModes), alpha: alphaOption, maxMemory: memoryOption });
  const { mode = 'all', alpha = 1, progress } = options;
  if (rows.length === 0) throw new UserError('a refit needs at least one calibration row');
  if (model.parameters.quantize)
    throw new UserError('a refit needs the weights as they are stored, not in 4 bits', {
      hint: 'compensate first, then quantize',
    });
  const { config, description } = model;
  if (!description.layers.some((layer) => modulesOf(layer).some(([, module]) => outputWeight(module))))
    throw new UserError(
      `a ${config.modelType} cannot be refit: a norm comes behind each of its modules, so no output projection writes to the stream`,
      { hint: 'leave the refit out' },
    );
  const missing = recordedDrops(config);
  const canRefit = (module: ModuleAt): boolean => outputOf(model.description, module) !== undefined;
  const plan = compensationPlan({ layers: config.numHiddenLayers, missing, canRefit }, drops, mode);
  checkRefits(model, options.weights ?? model.parameters, plan.stretches);
  const weights = new RefitWeights(progress && join(progress.folder, 'weights'));
  try {
    const states = ['whole', 'dropped'].map((name) => waitingStates(model, rows, name, options));
    using compensator = new Compensator(model, rows, [states[0], states[1]], weights, options);
    const refits = await compensator.run(plan.stretches);
    return { mode, alpha, refits, leftAlone: plan.leftAlone, weights, [Symbol.asyncDispose]: () => weights.close() };
  } catch (error) {
    await weights.close();
    throw error;
  }
}

/** Fails before any work if a projection cannot be refit. */
function checkRefits(model: Model, parameters: Parameters, stretches: readonly Stretch[]): void {
  for (const { refit, stays } of stretches) {
    if (!refit) continue;
    const spec = outputOf(model.description, stays!)!;
    const tensor = tensorName(spec);
    if (parameters.int4?.(tensor))
      throw new UserError(`${parameters.folder}: ${tensor} is quantized, and a refit needs floats`, {
        hint: 'compensate first, then quantize',
      });
    const [outputs, inputs] = spec.shape;
    const bytes = 8 * inputs * (inputs + outputs);
    if (bytes > addressableBytes(model))
      throw new UserError(
        `refitting ${tensor} takes sums of ${(bytes / 1e9).toPrecision(3)} GB, more than the ${model.engine.backend.name} backend can hold`,
        { hint: 'compute with another `backend`' },
      );
  }
}

/**
 * Streams kept at a time by both models together: in the whole one those that enter the stretch, the current module and
 * the next; in the dropped one those that enter and leave the refit module.
 */
const waitingStreams = 5;

/** In memory where they are small; a run that is to be continued later keeps them on the disk. */
function waitingStates(
  model: Model,
  rows: readonly Int32Array[],
  name: string,
  options: CompensateOptions,
): HiddenStates {
  const { progress, maxMemory = defaultMaxMemory() } = options;
  const lengths = rows.map(({ length }) => length);
  const { hiddenSize } = model.config;
  if (progress) return new DiskStates(lengths, hiddenSize, join(progress.folder, name), true);
  const bytes = 4 * hiddenSize * waitingStreams * lengths.reduce((sum, length) => sum + length, 0);
  return bytes > maxMemory / 2 ? new DiskStates(lengths, hiddenSize, tmpdir(), false) : new MemoryStates();
}
