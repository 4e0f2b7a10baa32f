import { join } from 'node:path';
import type { ProgressFile } from '../progress/index.js';
import {
  chooseByScores,
  chooseDrops,
  chooseWithoutText,
  dropReport,
  lossReport,
  mergeDrops,
  methodRecord,
  metrics,
  needsText,
  scoreImportance,
  writeDropped,
  type Choice,
  type DropMethod,
  type DropRecord,
  type GreedyStep,
  type ScoreState,
} from '../drop/index.js';
import { Model, checkedIndices, fitsMemory, openModel, type Drops } from '../models/index.js';
import { isLists } from './recipe.js';
import { calibrationOf, lossOf, type Job, type StageState } from './stage.js';

/** Chooses by any method of `drop`, and writes the model without what was chosen. */
export async function dropStage(job: Job, drop: DropMethod | Drops): Promise<StageState> {
  const { engine, from, place, rows, files, versions, name, stage } = job;
  await using source = await openModel(from);
  using model = new Model(engine, source.description, source.source);
  const method = isLists(drop) ? undefined : drop;
  const { choice, progress }: Chosen = isLists(drop) ? { choice: named(model, drop) } : await choose(job, model, drop);
  const { drops, ...why } = choice;
  const loss = await lossOf(job, model, drops);
  const before = job.done[0].loss;
  const report = dropReport(source, drops, before && loss ? lossReport(before, loss) : undefined);
  const looked = method && needsText(method) && rows;
  const record: DropRecord = {
    schema: 'llm-drop/drop-report/1',
    version: versions['llm-drop'],
    date: new Date().toISOString(),
    model: name,
    ...report,
    ...methodRecord(method),
    calibration: looked ? { files, samples: rows.calibration.length, length: rows.length } : null,
    ...why,
    versions,
  };
  return await place.finish(async (folder) => {
    await writeDropped(source, drops, join(folder, name), {
      target: method?.target,
      report: record,
      onProgress: stage('writing'),
    });
    return { stage: 'drop', drops, size: report.after, loss, notes: [] };
  }, progress);
}

/** The modules that were named, beside what the model had dropped before. */
function named(model: Model, { attention, mlp }: Drops): Choice {
  const layers = model.config.numHiddenLayers;
  const drops = {
    attention: checkedIndices(attention, layers, 'drop.attention'),
    mlp: checkedIndices(mlp, layers, 'drop.mlp'),
  };
  return { drops: mergeDrops(model.drops, drops) };
}

interface Chosen {
  readonly choice: Choice;
  readonly progress?: ProgressFile<unknown>;
}

/** One round of scores and a greedy search go on where they were interrupted; the former streams what is too large to load. */
async function choose(job: Job, model: Model, method: DropMethod): Promise<Chosen> {
  if (!needsText(method)) return { choice: await chooseWithoutText(model, method) };
  const { memory, note, place, signal, stage } = job;
  const rows = calibrationOf(job);
  const scoresOnce = method.search === 'score' && method.iterations === 1;
  const loading = stage('loading');
  if (!scoresOnce || fitsMemory(model, memory)) await model.load((done, total) => loading(done, total, 'layers'));
  const options = { onProgress: stage(method.search === 'score' ? 'scoring' : 'searching'), signal };
  if (scoresOnce) {
    const progress = await place.progress<ScoreState>('score');
    if (progress.previous) note(`continuing a scoring at row ${progress.previous.next.row}`);
    const metric = metrics.find(({ name }) => name === method.metric);
    const importance = await scoreImportance(model, rows, { ...options, metric, progress, maxMemory: memory.bytes });
    return { choice: chooseByScores(importance, method, model.drops), progress };
  }
  if (method.search === 'score') return { choice: await chooseDrops(model, rows, method, options) };
  const progress = await place.progress<GreedyStep[]>('search');
  const steps = [...(progress.previous ?? [])];
  if (steps.length) note(`continuing a search behind ${steps.length} of ${method.count} steps`);
  const onStep = async (step: GreedyStep): Promise<void> => {
    steps.push(step);
    await progress.save(steps);
  };
  return { choice: await chooseDrops(model, rows, method, { ...options, done: progress.previous, onStep }), progress };
}
