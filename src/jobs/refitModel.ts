import { type CompensationMode } from '../drop/index.js';
import { sweepRows, type HeldOutText } from '../text/index.js';
import type { LossResult } from '../evaluate/index.js';
import { defaultMaxMemory, Model, openModel, recordedDrops, type MemoryLimit } from '../models/index.js';
import { checkJob, engineFor, type ComputeOptions, type JobOptions } from './jobOptions.js';
import { lossesOf } from './losses.js';
import { claimModelFolder, writtenModel } from './modelFolder.js';
import { checkPair, type RefitPair } from './refitPair.js';
import { workOutRefit, type RefitRecord } from './refitWork.js';
import { rowsOfText, type RowOptions } from './textRows.js';

export interface RefitModelOptions extends JobOptions, ComputeOptions, RowOptions {
  /** The folder to write the refit model to. */
  readonly out: string;
  /** Replace a model folder that is already there, and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** The whole model's folder, into which an `adapter` is merged. @defaultValue its weights are looked for in the dropped one's */
  readonly base?: string;
  /** Which output projections are refit. @defaultValue 'all' */
  readonly mode?: CompensationMode;
  /** How much a refit is held back, as a multiple of the mean of diag(Z'Z). @defaultValue 1 */
  readonly alpha?: number;
  /** Text to fit on: .txt files, .jsonl files, or folders of them. */
  readonly calibration: readonly string[];
  /** Texts to measure the loss on, each for itself. @defaultValue the calibration text, behind its rows */
  readonly texts?: readonly string[];
  /** Bytes that the process may take. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
}

/** What was written to the folder as `drop_report.json`, and where. */
export type RefitResult = RefitRecord & {
  readonly out: string;
  /** How rows differ from what was asked for, and what was not measured. */
  readonly notes: readonly string[];
};

/**
 * Refits output projections of a dropped model's folder, so that its residual stream comes near the whole model's on the
 * calibration rows; says what came back on rows that the fit did not see. Goes on where an interrupted run with the same
 * `out` left off. UserError where nothing is dropped, where the two models are not of one kind, and for an `out` that is
 * not empty or in the way of what is read.
 */
export async function refitModel(folder: string, o: RefitModelOptions): Promise<RefitResult> {
  checkJob(o);
  const { out, mode = 'all', alpha = 1, calibration: files, onProgress, onNote, signal } = o;
  await using _claim = await claimModelFolder(o, [folder, o.base, o.adapter, ...files, ...(o.texts ?? [])]);
  await using dropped = await openModel(folder, o.base === undefined ? o : {});
  dropped.notes.forEach((note) => onNote?.(note));
  await using other = o.base === undefined ? undefined : await openModel(o.base, o);
  const base = other ?? dropped;
  const pair: RefitPair = { dropped, base, folder, baseFolder: o.base };
  checkPair(pair);
  // Nothing is dropped of the whole model that lies in the same folder.
  const config = o.base === undefined ? { ...base.config, dropAttention: [], dropMlp: [] } : base.config;
  const description = { ...base.description, config };
  const { calibration, heldOut, length, spread, notes } = await rowsOfText(
    await dropped.source.tokenizer(),
    config,
    o,
    (tokenizer, rows) => sweepRows(tokenizer, files, { ...rows, texts: o.texts }),
  );
  using computing = await engineFor(o);
  using whole = new Model(computing.engine, description, base.source);
  const memory = { bytes: o.maxMemory ?? defaultMaxMemory(), rowLength: length };
  const losses = await lossesBefore(whole, pair, heldOut, { ...o, memory });
  const record = await writtenModel(o, (resume) =>
    workOutRefit({
      ...{ dropped, whole, differ: o.base !== undefined, name: o.base ?? folder },
      ...{ rows: calibration, files, spread, texts: heldOut, losses, mode, alpha },
      ...{ memory, resume, onProgress, onNote, signal },
    }),
  );
  return { ...record, out, notes };
}

/** Of the whole model and of the dropped one, by text. */
async function lossesBefore(
  whole: Model,
  { dropped, base }: RefitPair,
  texts: readonly HeldOutText[],
  o: JobOptions & { readonly memory: MemoryLimit },
): Promise<{ whole: LossResult; dropped: LossResult }[]> {
  const before = await lossesOf(whole, base.source, recordedDrops(whole.config), texts, o);
  const after = await lossesOf(whole, dropped.source, recordedDrops(dropped.config), texts, o);
  return before.map((loss, i) => ({ whole: loss, dropped: after[i] }));
}
