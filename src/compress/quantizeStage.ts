import { join } from 'node:path';
import { workOutQuantized } from '../jobs/chain.js';
import { Model, modelSize } from '../models/index.js';
import type { RecipeQuantization } from './recipe.js';
import { calibrationOf, heldOutOf, openedFor, type Job, type StageState } from './stage.js';

/** Rounds the projections that are left to 4 bits. */
export async function quantizeStage(job: Job, settings: RecipeQuantization): Promise<StageState> {
  const { engine, from, place, name } = job;
  await using source = await openedFor(job, from, { blocks: 'bfloat16' });
  using model = new Model(engine, source.description, source.source);
  const { drops } = model;
  const before = job.done.at(-1)!.loss;
  await using quantized = await workOutQuantized({
    ...job,
    ...{ source, model, settings, resume: place, continues: 'continuing to quantize' },
    ...{ rows: settings.method === 'rtn' ? [] : calibrationOf(job), texts: heldOutOf(job) },
    before: before ? [before] : [],
  });
  return await place.finish(async (folder) => {
    await quantized.write(join(folder, name));
    const { record, loss } = quantized;
    const { parameters } = modelSize(source.source, source.description, drops);
    const size = { parameters, bytes: record.bytes.after };
    return { stage: 'quantize', drops, size, loss, notes: record.warnings };
  });
}
