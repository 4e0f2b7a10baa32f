import {
  mergeDrops,
  type CompensationMode,
  type DropMethod,
  type DropRecord,
  type Importance,
  type MethodRequest,
} from '../drop/index.js';
import { splitRows } from '../text/index.js';
import {
  checkedIndices,
  Model,
  openModel,
  recordedDrops,
  type Drops,
  type LoadOptions,
  type OpenedModel,
} from '../models/index.js';
import { checkedDrop } from './dropRequest.js';
import { workOutDrop, type DropTask } from './dropWork.js';
import { checkJob, engineFor, type JobOptions } from './jobOptions.js';
import { claimModelFolder, writtenModel } from './modelFolder.js';
import { programVersions, versionsOf } from './provenance.js';
import { givenScores } from './scoresOf.js';
import { loadTextModel } from './textModel.js';
import { rowsOfText, type RowOptions } from './textRows.js';

/** What to drop is said by `drops`, or by `target` and `count` with `importance`, `calibration` or a method without text. */
export interface DropModulesOptions
  extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory' | 'drops'>, RowOptions, Partial<MethodRequest> {
  /** The folder to write the smaller model to. */
  readonly out: string;
  /** Replace a model folder that is already there, and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** Write `config.json` and the side files only, to lay over the original folder. @defaultValue false */
  readonly configOnly?: boolean;
  /** These modules, by original layer; what the model had dropped before stays dropped. */
  readonly drops?: Partial<Drops>;
  /** Scores of `scoreModel`, or a file of them, in place of scoring again. */
  readonly importance?: string | Importance;
  /** Text to score or search on, and behind those rows to measure the loss on. @defaultValue no loss is measured */
  readonly calibration?: readonly string[];
  /** Refit output projections that stay to give back part of what went. @defaultValue none is refit */
  readonly compensate?: CompensationMode;
  /** How much a refit is held back, as a multiple of the mean of diag(Z'Z). @defaultValue 1 */
  readonly alpha?: number;
}

/** What was written to the folder as `drop_report.json`, and where. */
export interface DropResult extends DropRecord {
  readonly out: string;
  readonly configOnly: boolean;
  /** How rows differ from what was asked for, and what was not measured. */
  readonly notes: readonly string[];
}

/**
 * Writes a model folder without its most redundant modules, or without those that are named; measures what that costs on
 * rows that the choice has not seen. The folder appears complete or not at all. A greedy search and a refit go on where an
 * interrupted run with the same `out` left off. UserError for options that do not go together, for an `out` that is not
 * empty or in the way of what is read, and for files that cannot be read.
 */
export async function dropModules(folder: string, o: DropModulesOptions): Promise<DropResult> {
  checkJob(o);
  const method = checkedDrop(o);
  const { importance, calibration = [] } = o;
  const scores = typeof importance === 'string' ? importance : undefined;
  await using _claim = await claimModelFolder(o, [folder, o.adapter, scores, ...calibration]);
  return await (o.calibration ? dropMeasured(folder, method, calibration, o) : dropUnmeasured(folder, method, o));
}

/** Scores or searches where needed, measures the loss on held-out rows, writes. */
async function dropMeasured(
  folder: string,
  method: DropMethod | undefined,
  files: readonly string[],
  o: DropModulesOptions,
): Promise<DropResult> {
  await using loaded = await loadTextModel(folder, { ...o, drops: undefined });
  const { model } = loaded;
  const scores = await givenScores(o, model.config.numHiddenLayers);
  const rows = await rowsOfText(loaded.tokenizer, model.config, { ...o, ...scores?.seen }, (tokenizer, options) =>
    splitRows(tokenizer, files, options),
  );
  const refit = o.compensate && { mode: o.compensate, alpha: o.alpha ?? 1 };
  const task = { source: model, model, method, importance: scores?.importance, rows, files, refit };
  const named = method ? undefined : namedModules(model, o);
  return await write(folder, { ...task, named, versions: versionsOf(model.engine) }, rows.notes, o);
}

/** Reads weights only to copy them, or for Gate-Norm. */
async function dropUnmeasured(
  folder: string,
  method: DropMethod | undefined,
  o: DropModulesOptions,
): Promise<DropResult> {
  await using source = await openModel(folder, o);
  source.notes.forEach((note) => o.onNote?.(note));
  const scores = await givenScores(o, source.config.numHiddenLayers);
  const named = method ? undefined : namedModules(source, o);
  const task = { source, method, importance: scores?.importance, named, versions: programVersions() };
  const notes = ['no loss is measured without `calibration`'];
  if (!method || scores) return await write(folder, task, notes, o);
  using computing = await engineFor(o);
  using model = new Model(computing.engine, source.description, source.source);
  return await write(folder, { ...task, model }, notes, o);
}

async function write(
  folder: string,
  task: Omit<DropTask, 'configOnly' | 'name' | 'resume'>,
  notes: readonly string[],
  o: DropModulesOptions,
): Promise<DropResult> {
  const { out, configOnly = false, onProgress, onNote, signal } = o;
  const record = await writtenModel(o, (resume) =>
    workOutDrop({ ...task, name: folder, configOnly, resume, onProgress, onNote, signal }),
  );
  return { ...record, out, configOnly, notes };
}

/** All that will be dropped, what the model had dropped before included. */
function namedModules({ config }: OpenedModel, { drops = {} }: DropModulesOptions): Drops {
  const { numHiddenLayers } = config;
  const { attention = [], mlp = [] } = drops;
  return mergeDrops(recordedDrops(config), {
    attention: checkedIndices(attention, numHiddenLayers, '`drops.attention`'),
    mlp: checkedIndices(mlp, numHiddenLayers, '`drops.mlp`'),
  });
}
