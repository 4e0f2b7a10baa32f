import { join } from 'node:path';
import { mergeDrops, type DropMethod } from '../drop/index.js';
import { workOutDrop } from '../jobs/chain.js';
import { Model, checkedIndices, type Drops } from '../models/index.js';
import { isLists } from './recipe.js';
import { openedFor, type Job, type StageState } from './stage.js';

/** Chooses by any method of `drop`, and writes the model without what was chosen. */
export async function dropStage(job: Job, drop: DropMethod | Drops): Promise<StageState> {
  const { engine, from, place, name } = job;
  await using source = await openedFor(job, from);
  using model = new Model(engine, source.description, source.source);
  await using dropped = await workOutDrop({
    ...job,
    ...(isLists(drop) ? { named: named(model, drop) } : { method: drop }),
    ...{ source, model, resume: place, before: job.done[0].loss },
  });
  return await place.finish(async (folder) => {
    await dropped.write(join(folder, name));
    const { record, loss } = dropped;
    return { stage: 'drop', drops: record.drop, size: record.after, loss, notes: [] };
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
