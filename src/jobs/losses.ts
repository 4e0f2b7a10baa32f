import { textLosses } from '../drop/index.js';
import type { HeldOutText } from '../text/index.js';
import type { LossResult } from '../evaluate/index.js';
import { Model, fitsMemory, type Drops, type MemoryLimit, type Parameters } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';

/** Loads what is not skipped, as a stage. */
export async function loadWeights(model: Model, o: JobOptions): Promise<void> {
  const loading = stageOf(o, 'loading');
  await model.load((done, total) => loading(done, total, 'layers'));
}

/**
 * The losses on each text of a model of this kind with other weights and drops, which is loaded for them alone; layers
 * that do not fit in `memory` together are streamed.
 */
export async function lossesOf(
  { engine, description }: Pick<Model, 'description' | 'engine'>,
  parameters: Parameters,
  drops: Drops,
  texts: readonly HeldOutText[],
  o: JobOptions & { readonly memory?: MemoryLimit },
): Promise<LossResult[]> {
  if (texts.length === 0) return [];
  using model = new Model(engine, description, parameters);
  model.setDrops(drops);
  if (!o.memory || fitsMemory(model, o.memory)) await loadWeights(model, o);
  const maxMemory = o.memory?.bytes;
  return await textLosses(model, texts, { maxMemory, onProgress: stageOf(o, 'measuring'), signal: o.signal });
}
