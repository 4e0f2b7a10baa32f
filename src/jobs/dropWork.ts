import {
  chooseByScores,
  dropReport,
  lossReport,
  lossesAround,
  methodRecord,
  needsText,
  writeDropped,
  type Choice,
  type CompensationMode,
  type DropMethod,
  type DropRecord,
  type Importance,
} from '../drop/index.js';
import { calibrationRecord, type SplitRows } from '../text/index.js';
import { evaluateLoss, type LossResult } from '../evaluate/index.js';
import { fitsMemory, recordedDrops, type Drops, type Model, type OpenedModel } from '../models/index.js';
import { chooseModules, type ChooseModulesOptions } from './chooseModules.js';
import { stageOf } from './jobOptions.js';
import { loadWeights } from './losses.js';
import type { ModelToWrite } from './modelFolder.js';
import { refitDropped, type RefitModel } from './refitDropped.js';
import { llmDropVersion } from './version.js';

/** What is dropped of an opened model, and what is known of it already. */
export interface DropTask extends ChooseModulesOptions {
  readonly source: OpenedModel;
  /** As records name the model, and the programs. */
  readonly name: string;
  readonly versions: Readonly<Record<string, string>>;
  /** Of a method, or of modules that were named. */
  readonly method?: DropMethod;
  readonly named?: Drops;
  /** Scores that were made before. */
  readonly importance?: Importance;
  /** To choose with and to measure; not needed where modules are named or scored, and nothing is measured. */
  readonly model?: Model;
  readonly rows?: SplitRows;
  /** That the rows came from. */
  readonly files?: readonly string[];
  /** Of the whole model on the held-out rows; null where it was not measured. @defaultValue it is measured here */
  readonly before?: LossResult | null;
  readonly refit?: { readonly mode: CompensationMode; readonly alpha: number };
  /** Write `config.json` and the side files only. @defaultValue false */
  readonly configOnly?: boolean;
}

/** Chooses, measures, refits where that is asked for; writes nothing yet. */
export async function workOutDrop(task: DropTask): Promise<ModelToWrite<DropRecord>> {
  const { source, method, importance, rows, files = [], versions } = task;
  const { drops, ...why } = await decide(task);
  const { before, after } = await measure(task, drops);
  const refit = await refitOf(task, drops, before, after);
  const loss = refit ? (refit.losses.at(0) ?? null) : after;
  const looked = method && !importance && needsText(method) && rows;
  const record: DropRecord = {
    schema: 'llm-drop/drop-report/1',
    version: llmDropVersion(),
    date: new Date().toISOString(),
    model: task.name,
    ...dropReport(source, drops, before && loss ? lossReport(before, loss) : undefined),
    ...methodRecord(method, importance?.metric),
    calibration: looked ? calibrationRecord(files, rows.calibration, rows.spread) : null,
    compensation: refit?.record,
    importance: why.importance,
    rounds: why.rounds,
    steps: why.steps,
    versions,
  };
  return {
    record,
    loss,
    write: (out, o) =>
      writeDropped(source, drops, out, {
        ...o,
        configOnly: task.configOnly,
        target: method?.target,
        report: record,
        replaced: refit?.replaced,
        onProgress: stageOf(task, 'writing'),
      }),
    [Symbol.asyncDispose]: async () => refit?.[Symbol.asyncDispose](),
  };
}

async function decide(task: DropTask): Promise<Choice> {
  const { source, method, named, importance, model, rows } = task;
  if (!method) return { drops: named! };
  if (importance) return chooseByScores(importance, method, recordedDrops(source.config));
  return chooseModules(model!, method, rows?.calibration ?? [], task);
}

interface Losses {
  readonly before: LossResult | null;
  readonly after: LossResult | null;
}

async function measure(task: DropTask, drops: Drops): Promise<Losses> {
  const { model, rows, before, memory, signal } = task;
  if (!model || !rows?.heldOut.length) return { before: before ?? null, after: null };
  const measuring = { maxMemory: memory?.bytes, onProgress: stageOf(task, 'measuring'), signal };
  if (before === undefined) return lossesAround(model, drops, rows.heldOut, measuring);
  model.setDrops(drops);
  if (!model.isLoaded && (!memory || fitsMemory(model, memory))) await loadWeights(model, task);
  return { before, after: await evaluateLoss(model, rows.heldOut, measuring) };
}

async function refitOf(
  task: DropTask,
  drops: Drops,
  before: LossResult | null,
  after: LossResult | null,
): Promise<RefitModel | undefined> {
  const { model, rows, refit, files = [], memory, resume, onProgress, onNote, signal } = task;
  if (!refit || !model || !rows) return undefined;
  model.unload(); // the fit loads one module at a time
  const measured = before && after ? [{ whole: before, dropped: after }] : [];
  return refitDropped({
    ...{ whole: model, stored: model.parameters, differ: false, drops },
    ...{ rows: rows.calibration, files, spread: rows.spread, ...refit },
    ...{ memory, resume, onProgress, onNote, signal },
    texts: measured.map(() => ({ name: 'held out', rows: rows.heldOut })),
    losses: measured,
  });
}
