import {
  expertMethod,
  expertsNeedText,
  type DropRecord,
  type ExpertMethod,
  type ExpertRequest,
  type Importance,
} from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { openModel, type LoadOptions } from '../models/index.js';
import { splitRows } from '../text/index.js';
import type { DropResult } from './dropModules.js';
import { refuseGiven, type DropRequest } from './dropRequest.js';
import { workOutExpertDrop, type ExpertTask } from './expertWork.js';
import { checkJob, type JobOptions } from './jobOptions.js';
import { claimModelFolder, writtenModel, type ModelFolderOptions } from './modelFolder.js';
import { programVersions, versionsOf } from './provenance.js';
import { givenScores } from './scoresOf.js';
import { loadTextModel } from './textModel.js';
import { rowsOfText, type RowOptions } from './textRows.js';

export interface DropExpertsOptions
  extends
    JobOptions,
    ModelFolderOptions,
    Omit<LoadOptions, 'onProgress' | 'memory' | 'drops'>,
    RowOptions,
    ExpertRequest {
  /** Scores of `scoreModel`, or a file of them, in place of counting again. */
  readonly importance?: string | Importance;
  /** Text to count on, and behind those rows to measure the loss on. @defaultValue no loss is measured */
  readonly calibration?: readonly string[];
}

/**
 * Writes a mixture's folder with `count` experts fewer in each layer: those that a text's tokens visit least, or that
 * change the output least. The router's softmax is over those that stay. Measures what that costs on rows that the choice
 * has not seen. The folder appears complete or not at all. UserError for a model without experts, where fewer would be
 * left than a token visits, for a layer's experts that are packed together, and as `dropModules`.
 */
export async function dropExperts(folder: string, o: DropExpertsOptions): Promise<DropResult> {
  const method = checkedExpertDrop(o);
  const { importance, calibration } = o;
  const scores = typeof importance === 'string' ? importance : undefined;
  await using _claim = await claimModelFolder(o, [folder, o.adapter, scores, ...(calibration ?? [])]);
  return await (calibration ? dropMeasured(folder, method, calibration, o) : dropUnmeasured(folder, method, o));
}

/** What goes with modules alone. */
const ofModules = [
  ...(['search', 'iterations', 'consecutive', 'compat', 'keep', 'drops.attention', 'drops.mlp'] as const),
  ...(['compensate', 'alpha', 'configOnly'] as const),
];

function checkedExpertDrop(o: DropExpertsOptions): ExpertMethod {
  const { drops } = o as Pick<DropRequest, 'drops'>;
  const given = { ...o, 'drops.attention': drops?.attention, 'drops.mlp': drops?.mlp };
  refuseGiven(given, '`target` expert takes as many experts of each layer', ofModules);
  const { count, metric, seed } = o;
  if (count === undefined) throw new UserError('`target` expert needs `count`: how many of each layer');
  checkJob({ ...o, metric: undefined });
  const method = expertMethod({ count, metric, seed });
  if (expertsNeedText(method) && !o.calibration && o.importance === undefined)
    throw new UserError('choosing what to drop needs scores', {
      hint: 'give `calibration` with a text, or `importance` with the scores from llm-drop score --out',
    });
  return method;
}

/** Counts where needed, measures the loss on held-out rows, writes. */
async function dropMeasured(
  folder: string,
  method: ExpertMethod,
  files: readonly string[],
  o: DropExpertsOptions,
): Promise<DropResult> {
  await using loaded = await loadTextModel(folder, o);
  const { model } = loaded;
  const scores = await givenScores(o, model.config.numHiddenLayers);
  const rows = await rowsOfText(loaded.tokenizer, model.config, { ...o, ...scores?.seen }, (tokenizer, options) =>
    splitRows(tokenizer, files, options),
  );
  const task = { source: model, model, method, importance: scores?.importance, rows, files, quantize: o.quantize };
  return await write(folder, { ...task, versions: versionsOf(model.engine) }, rows.notes, o);
}

/** Reads weights only to copy them. */
async function dropUnmeasured(folder: string, method: ExpertMethod, o: DropExpertsOptions): Promise<DropResult> {
  await using source = await openModel(folder, o);
  source.notes.forEach((note) => o.onNote?.(note));
  const importance = (await givenScores(o, source.config.numHiddenLayers))?.importance;
  const notes = ['no loss is measured without `calibration`'];
  return await write(folder, { source, method, importance, versions: programVersions() }, notes, o);
}

async function write(
  folder: string,
  task: Omit<ExpertTask, 'name' | 'resume'>,
  notes: readonly string[],
  o: DropExpertsOptions,
): Promise<DropResult> {
  const { out, onProgress, onNote, signal } = o;
  const record = await writtenModel<DropRecord>(o, (resume) =>
    workOutExpertDrop({ ...task, name: folder, resume, onProgress, onNote, signal }),
  );
  return { ...record, out, configOnly: false, notes };
}
