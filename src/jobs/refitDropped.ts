import { fingerprintOf } from '../progress/index.js';
import {
  compensate,
  compensationLoss,
  type Compensation,
  type CompensationMode,
  type CompensationRecord,
  type CompensationState,
} from '../drop/index.js';
import { calibrationRecord, type HeldOutText } from '../text/index.js';
import type { WeightSource } from '../engine/index.js';
import type { LossResult } from '../evaluate/index.js';
import { Model, type Drops, type MemoryLimit, type Parameters } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { lossesOf } from './losses.js';
import type { Resume } from './resume.js';
import { llmDropVersion } from './version.js';

/** A refit of what stays of a dropped model. */
export interface RefitTask extends JobOptions {
  /** The whole model, whose streams are aimed at; its weights need not be loaded. */
  readonly whole: Model;
  /** The dropped model's weights, over which the refit ones go. */
  readonly stored: Parameters;
  /** Whether these may differ from the whole one's, so that both models are to run from the start. */
  readonly differ: boolean;
  readonly drops: Drops;
  /** What is fitted on, the files that it came from, and whether from all over them. */
  readonly rows: readonly Int32Array[];
  readonly files: readonly string[];
  readonly spread?: boolean;
  readonly mode: CompensationMode;
  readonly alpha: number;
  readonly memory?: MemoryLimit;
  readonly resume: Resume;
  /** What the result is measured on, and there what the whole and the dropped model lose, where that is known. */
  readonly texts: readonly HeldOutText[];
  readonly losses: readonly { readonly whole: LossResult; readonly dropped: LossResult }[];
}

/** Refit weights, which may lie in open files. */
export interface RefitModel extends AsyncDisposable {
  readonly record: CompensationRecord;
  /** By text; none where they were not measured. */
  readonly losses: readonly LossResult[];
  /** A tensor that was refit. */
  readonly replaced: (tensor: string) => WeightSource | undefined;
}

/** Refits from where an interrupted run left off, and measures what came of it. */
export async function refitDropped(task: RefitTask): Promise<RefitModel> {
  const { whole, stored, drops, rows, files, spread, mode, alpha, texts } = task;
  const compensation = await fit(task);
  try {
    const { refits, leftAlone, weights } = compensation;
    const losses = await lossesOf(whole, weights.over(stored), drops, texts, task);
    const record: CompensationRecord = {
      mode,
      alpha,
      calibration: calibrationRecord(files, rows, spread),
      refits,
      leftAlone,
      losses: losses.length
        ? task.losses.map((before, i) => compensationLoss(texts[i].name, before.whole, before.dropped, losses[i]))
        : [],
    };
    return {
      record,
      losses,
      replaced: (tensor) => weights.get(tensor),
      [Symbol.asyncDispose]: () => compensation[Symbol.asyncDispose](),
    };
  } catch (error) {
    await compensation[Symbol.asyncDispose]();
    throw error;
  }
}

async function fit(task: RefitTask): Promise<Compensation> {
  const { whole, drops, rows, mode, alpha, memory, resume, signal } = task;
  const weights = task.differ ? task.stored : undefined;
  const version = llmDropVersion();
  const progress = await resume.open<CompensationState>('refit', async () => {
    const settings = { mode, alpha, drop: drops };
    const inputs = await fingerprintOf({ model: whole, rows: { 'calibration tokens': rows }, settings, version });
    if (!weights) return inputs;
    using model = new Model(whole.engine, whole.description, weights);
    const dropped = await fingerprintOf({ model, rows: {}, settings: {}, version });
    return { ...inputs, 'weights of the dropped model': dropped.weights };
  });
  const done = progress?.previous?.refits.length;
  if (done !== undefined) task.onNote?.(`continuing a refit behind ${done} output projections`);
  return compensate(whole, drops, rows, {
    ...{ mode, alpha, weights, progress },
    maxMemory: memory?.bytes,
    onProgress: stageOf(task, 'refitting'),
    signal,
  });
}
