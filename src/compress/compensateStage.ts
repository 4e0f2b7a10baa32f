import { join } from 'node:path';
import { workOutRefit } from '../jobs/chain.js';
import { Model } from '../models/index.js';
import type { RecipeCompensation } from './recipe.js';
import { calibrationOf, heldOutOf, openedFor, type Job, type StageState } from './stage.js';

/** Refits what stays of the dropped model, with the whole one as its aim. */
export async function compensateStage(job: Job, { mode, alpha }: RecipeCompensation): Promise<StageState> {
  const { engine, base, from, place, name } = job;
  await using dropped = await openedFor(job, from);
  await using source = await openedFor(job, base);
  using whole = new Model(engine, source.description, source.source);
  const [before, after] = [job.done[0].loss, job.done.at(-1)!.loss];
  await using refit = await workOutRefit({
    ...job,
    // What the drop left has the whole model's weights.
    ...{ dropped, whole, differ: false, mode, alpha, resume: place },
    ...{ rows: calibrationOf(job), texts: heldOutOf(job) },
    losses: before && after ? [{ whole: before, dropped: after }] : [],
  });
  return await place.finish(async (folder) => {
    await refit.write(join(folder, name));
    const { drop: drops, after: size } = refit.record;
    return { stage: 'compensate', drops, size, loss: refit.loss, notes: [] };
  });
}
