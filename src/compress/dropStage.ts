import { join } from 'node:path';
import { mergeDrops } from '../drop/index.js';
import { workOutDrop, workOutExpertDrop } from '../jobs/chain.js';
import { Model, checkedIndices, type Drops } from '../models/index.js';
import { isExperts, isLists, type RecipeDrop } from './recipe.js';
import { openedFor, type Job, type StageState } from './stage.js';

/** Chooses by any method of `drop`, and writes the model without what was chosen. */
export async function dropStage(job: Job, drop: RecipeDrop): Promise<StageState> {
  const { engine, from, place, name } = job;
  await using source = await openedFor(job, from);
  using model = new Model(engine, source.description, source.source);
  const task = { ...job, source, model, resume: place, before: job.done[0].loss };
  await using dropped = isExperts(drop)
    ? await workOutExpertDrop({ ...task, method: drop })
    : await workOutDrop({ ...task, ...(isLists(drop) ? { named: named(model, drop) } : { method: drop }) });
  return await place.finish(async (folder) => {
    await dropped.write(join(folder, name));
    const { record, loss } = dropped;
    const { drop: drops, after: size, experts } = record;
    return { stage: 'drop', drops, size, experts, loss, notes: [] };
  });
}

/** The modules that were named, beside what the model had dropped before. */
function named(model: Model, { attention, mlp }: Drops): Drops {
  const layers = model.config.numHiddenLayers;
  return mergeDrops(model.drops, {
    attention: checkedIndices(attention, layers, 'drop.attention'),
    mlp: checkedIndices(mlp, layers, 'drop.mlp'),
  });
}
