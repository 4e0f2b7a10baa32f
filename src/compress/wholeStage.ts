import { makeFolders } from '../checkpoint/index.js';
import { lossesOf } from '../jobs/chain.js';
import { Model, modelSize } from '../models/index.js';
import { heldOutOf, openedFor, type Job, type StageState } from './stage.js';

/** Measures the model that all others are held against. */
export async function measureWhole(job: Job): Promise<StageState> {
  await using opened = await openedFor(job, job.from);
  const { source, description } = opened;
  using model = new Model(job.engine, description, source);
  const { drops } = model;
  const [loss = null] = await lossesOf(model, source, drops, heldOutOf(job), job);
  const size = modelSize(source, description, drops);
  return await job.place.finish(async (folder) => {
    await makeFolders(folder);
    return { stage: 'whole', drops, size, loss, notes: [] };
  });
}
