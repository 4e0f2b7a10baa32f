import { mkdir } from 'node:fs/promises';
import { openDropSource } from '../drop/index.js';
import { Model, familyOf, modelSize } from '../models/index.js';
import { lossOf, type Job, type StageState } from './stage.js';

/** Measures the model that all others are held against. */
export async function measureWhole(job: Job): Promise<StageState> {
  await using source = await openDropSource(job.from);
  const { checkpoint, config, specs } = source;
  using model = new Model(job.engine, config, familyOf(config, job.from), checkpoint);
  const { drops } = model;
  const loss = await lossOf(job, model, drops);
  const notes = job.rows?.heldOut.length && !loss ? ['no loss is measured: the weights do not fit in memory'] : [];
  const size = modelSize(checkpoint, config, specs, drops);
  return await job.place.finish(async (folder) => {
    await mkdir(folder, { recursive: true });
    return { stage: 'whole', drops, size, loss, notes };
  });
}
