import { join } from 'node:path';
import { UserError } from '../engine/index.js';
import { Model, modelSize, openModel, tensorNames, type OpenedModel } from '../models/index.js';
import {
  checkQuantizable,
  projectionTensors,
  quantizeLoss,
  quantizeModel,
  quantizeRecordFile,
  quantizedSize,
  randomInt4,
  writeQuantized,
  type QuantizeRecord,
  type QuantizeState,
} from '../quant/index.js';
import type { RecipeQuantization } from './recipe.js';
import { calibrationOf, lossOf, type Job, type StageState } from './stage.js';

/** Rounds the projections that are left to 4 bits. */
export async function quantizeStage(job: Job, recipe: RecipeQuantization): Promise<StageState> {
  const { engine, from, place, files, name, signal, stage, versions } = job;
  await using source = await openModel(from);
  const { source: checkpoint, description } = source;
  using model = new Model(engine, description, checkpoint);
  const { drops } = model;
  const { format, ...settings } = recipe;
  const { method, groupSize, symmetric, clip, damping } = settings;
  const rows = method === 'rtn' ? [] : calibrationOf(job);
  const progress = await place.progress<QuantizeState>('quantize');
  if (progress.previous) job.note(`continuing to quantize behind ${progress.previous.layers} layers`);
  await using quantized = await quantizeModel(model, rows, {
    ...settings,
    progress,
    onProgress: stage('quantizing'),
    signal,
  });
  using rounded = new Model(engine, description, quantized.parameters);
  const loss = await lossOf(job, rounded, drops);
  const before = job.done.at(-1)!.loss;
  const { bitsPerWeight, bytes, weights } = quantizedSize(checkpoint, description, drops, quantized.replaced, recipe);
  const record: QuantizeRecord = {
    schema: 'llm-drop/quantize-report/1',
    version: versions['llm-drop'],
    date: new Date().toISOString(),
    model: name,
    method,
    format,
    groupSize,
    symmetric,
    clip,
    calibration: rows.length ? { files, samples: rows.length, length: rows[0].length } : null,
    drop: drops,
    bitsPerWeight,
    bytes,
    weights,
    losses: before && loss ? [quantizeLoss('held out', before, loss)] : [],
    projections: quantized.results,
    warnings: quantized.warnings,
    versions,
  };
  return await place.finish(async (folder) => {
    await writeQuantized(source, join(folder, name), {
      format,
      groupSize,
      symmetric,
      replaced: quantized.replaced,
      algorithm: {
        quantizer: `llm-drop:${versions['llm-drop']}`,
        dampPercent: damping,
        actOrder: method === 'gptq',
      },
      files: { [quantizeRecordFile]: record },
      onProgress: stage('writing'),
    });
    const { parameters } = modelSize(checkpoint, description, drops);
    return { stage: 'quantize', drops, size: { parameters, bytes: bytes.after }, loss, notes: quantized.warnings };
  }, progress);
}

/** Fails before all work where the format could not hold the model; what is dropped until then only takes away from it. */
export function checkShapes(
  opened: OpenedModel,
  model: Model,
  { format, groupSize, symmetric, head: withHead }: RecipeQuantization,
): void {
  const head = opened.description.head.weight;
  if (withHead && !head)
    throw new UserError("the model's output projection is its embedding, which the formats hold as floats only", {
      hint: 'leave quantize.head out of the recipe',
    });
  const tensors = new Set([...projectionTensors(model), ...(withHead ? tensorNames(head!) : [])]);
  const options = { groupSize: groupSize === -1 ? 128 : groupSize, symmetric } as const;
  checkQuantizable(opened, {
    format,
    groupSize,
    symmetric,
    replaced: (tensor, shape) => (tensors.has(tensor) ? randomInt4(tensor, shape, options) : undefined),
  });
}
