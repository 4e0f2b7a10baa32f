import { mkdir } from 'node:fs/promises';
import { Model, modelSize, openModel } from '../models/index.js';
import { lossOf, type Job, type StageState } from './stage.js';

/** Measures the model that all others are held against. */
export async function measureWhole(job: Job): Promise<StageState> {
  await using source = await openModel(job.from);
  const { source: checkpoint, description } = source;
  using model = new Model(job.engine, description, checkpoint);
  const { drops } = model;
  const loss = await lossOf(job, model, drops);
  const notes = job.rows?.heldOut.length && !loss ? ['no loss is measured: the weights do not fit in memory'] : [];
  const size = modelSize(checkpoint, description, drops);
  return await job.place.finish(async (folder) => {
    await mkdir(folder, { recursive: true });
    return { stage: 'whole', drops, size, loss, notes };
  });
}
