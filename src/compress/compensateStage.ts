import { join } from 'node:path';
import { readJsonObject } from '../checkpoint/index.js';
import {
  compensate,
  compensationLoss,
  dropRecordFile,
  lossReport,
  writeDropped,
  type CompensationRecord,
  type CompensationState,
  type DropRecord,
} from '../drop/index.js';
import { Model, openModel } from '../models/index.js';
import type { RecipeCompensation } from './recipe.js';
import { calibrationOf, lossOf, type Job, type StageState } from './stage.js';

/** Refits what stays of the dropped model, with the whole one as its aim. */
export async function compensateStage(job: Job, { mode, alpha }: RecipeCompensation): Promise<StageState> {
  const { engine, base, from, place, files, memory, name, signal, stage } = job;
  await using dropped = await openModel(from);
  await using source = await openModel(base);
  using whole = new Model(engine, source.description, source.source);
  const drops = { attention: dropped.config.dropAttention, mlp: dropped.config.dropMlp };
  const rows = calibrationOf(job);
  const progress = await place.progress<CompensationState>('refit');
  if (progress.previous) job.note(`continuing a refit behind ${progress.previous.refits.length} output projections`);
  await using refits = await compensate(whole, drops, rows, {
    mode,
    alpha,
    progress,
    maxMemory: memory.bytes,
    onProgress: stage('refitting'),
    signal,
  });
  using refit = new Model(engine, source.description, refits.weights.over(dropped.source));
  refit.setDrops(drops);
  const loss = await lossOf(job, refit, drops);
  const [before, after] = [job.done[0].loss, job.done.at(-1)!.loss];
  const measured = before && after && loss;
  const compensation: CompensationRecord = {
    mode,
    alpha,
    calibration: { files, samples: rows.length, length: rows[0].length },
    refits: refits.refits,
    leftAlone: refits.leftAlone,
    losses: measured ? [compensationLoss('held out', before, after, loss)] : [],
  };
  const found = (await readJsonObject(join(from, dropRecordFile))) as unknown as DropRecord;
  const report = { ...found, loss: measured ? lossReport(before, loss) : undefined, compensation };
  return await place.finish(async (folder) => {
    await writeDropped(dropped, drops, join(folder, name), {
      target: found.target ?? undefined,
      report,
      replaced: (tensor) => refits.weights.get(tensor),
      onProgress: stage('writing'),
    });
    return { stage: 'compensate', drops, size: found.after, loss, notes: [] };
  }, progress);
}
