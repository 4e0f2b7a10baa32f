import {
  expertReport,
  expertsNeedText,
  lossReport,
  methodRecord,
  scoreImportance,
  selectExperts,
  writeFewerExperts,
  type DropRecord,
  type ExpertMethod,
  type ExpertWorks,
  type Importance,
} from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { evaluateLoss, type LossResult } from '../evaluate/index.js';
import {
  fewerExperts,
  fitsMemory,
  recordedDrops,
  withQuantizer,
  type OpenedModel,
  type Quantize,
} from '../models/index.js';
import { calibrationRecord } from '../text/index.js';
import { oneScoring } from './chooseModules.js';
import type { DropTask } from './dropWork.js';
import { stageOf } from './jobOptions.js';
import { loadWeights, lossesOf } from './losses.js';
import type { ModelToWrite } from './modelFolder.js';
import { llmDropVersion } from './version.js';

/** Experts to drop of an opened mixture, and what is known of it already. */
export interface ExpertTask extends Omit<DropTask, 'configOnly' | 'method' | 'named' | 'refit'> {
  readonly method: ExpertMethod;
  /** How the model holds its matrices, and so the smaller one where it is measured. */
  readonly quantize?: Quantize;
}

/** Counts, chooses, measures; writes nothing yet. What cannot be dropped is refused before anything is counted. */
export async function workOutExpertDrop(task: ExpertTask): Promise<ModelToWrite<DropRecord>> {
  const { source, method, rows, files = [], versions } = task;
  const experts = expertsOf(source);
  const some = [...Array(method.count).keys()];
  await fewerExperts(
    source,
    experts.map((count) => (count ? some : null)),
  );
  const importance = await counted(task, experts);
  const drops = selectExperts(importance?.experts ?? experts.map(idle), method);
  const smaller = await fewerExperts(source, drops);
  const { before, after } = await measure(task, smaller);
  const looked = rows && importance && !task.importance;
  const record: DropRecord = {
    schema: 'llm-drop/drop-report/1',
    version: llmDropVersion(),
    date: new Date().toISOString(),
    model: task.name,
    ...expertReport(source, smaller, drops, before && after ? lossReport(before, after) : undefined),
    ...methodRecord(method),
    calibration: looked ? calibrationRecord(files, rows.calibration, rows.spread) : null,
    importance,
    versions,
  };
  return {
    record,
    loss: after,
    write: (out, o) => writeFewerExperts(smaller, out, { ...o, report: record, onProgress: stageOf(task, 'writing') }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

/** How many experts each layer has that can be dropped. */
function expertsOf({ source: { folder }, description, config }: OpenedModel): number[] {
  const gone = recordedDrops(config).mlp;
  const experts = description.layers.map(({ mlp }, i) =>
    mlp.kind === 'mixture' && !gone.includes(i) ? mlp.experts : 0,
  );
  if (experts.some((count) => count > 0)) return experts;
  throw new UserError(`${folder} has no layer with experts, so none can be dropped`, {
    hint: 'attention, mlp, block and joint are targets of every model',
  });
}

/** Experts of which nothing is known, which is all that chance needs. */
const idle = (count: number): ExpertWorks[number] =>
  count ? Array.from({ length: count }, () => ({ visits: 0, weights: 0, outputs: 0 })) : null;

/** Scores with what the experts did, made before or here; undefined where the method looks at none. */
async function counted(task: ExpertTask, experts: readonly number[]): Promise<Importance | undefined> {
  const { model, rows, method, importance, memory } = task;
  if (!expertsNeedText(method)) return undefined;
  if (!importance) {
    if (!model!.isLoaded && (!memory || fitsMemory(model!, memory))) await loadWeights(model!, task);
    const calibration = rows?.calibration ?? [];
    return scoreImportance(model!, calibration, await oneScoring(model!, null, calibration, task));
  }
  const layer = experts.findIndex((count, i) => (importance.experts?.[i]?.length ?? 0) !== count);
  if (layer < 0) return importance;
  throw new UserError(
    `the scores know ${importance.experts?.[layer]?.length ?? 0} experts of layer ${layer}, but the model has ${experts[layer]}`,
    { hint: 'score this model again' },
  );
}

interface Losses {
  readonly before: LossResult | null;
  readonly after: LossResult | null;
}

/** The smaller model is loaded in place of the whole one. */
async function measure(task: ExpertTask, smaller: OpenedModel): Promise<Losses> {
  const { model, rows, quantize, signal } = task;
  if (!model || !rows?.heldOut.length) return { before: task.before ?? null, after: null };
  let { before = null } = task;
  if (task.before === undefined && model.isLoaded)
    before = await evaluateLoss(model, rows.heldOut, { onProgress: stageOf(task, 'measuring'), signal });
  model.unload();
  const parameters = quantize ? withQuantizer(smaller.source, quantize) : smaller.source;
  const texts = [{ name: 'held out', rows: rows.heldOut }];
  const { engine } = model;
  const [after = null] = await lossesOf({ engine, ...smaller }, parameters, recordedDrops(smaller.config), texts, task);
  return { before, after };
}
