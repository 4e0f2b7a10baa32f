import { claimOutputs } from '../checkpoint/index.js';
import type { Importance } from '../drop/index.js';
import {
  blocksFor,
  exportModel,
  exportOutputs,
  parseReport,
  type Evidence,
  type ExportOptions,
  type ExportResult,
} from '../export/index.js';
import { openModel, type AdapterOptions } from '../models/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { readJson } from './jsonFiles.js';
import { scoresOf } from './scoresOf.js';
import { llmDropVersion } from './version.js';

/** What to write is said as for `exportModel`. */
export interface ExportCheckpointOptions
  extends JobOptions, AdapterOptions, Omit<ExportOptions, 'onProgress' | 'drops' | 'importance' | 'report'> {
  /** For the model card: scores of `scoreModel`, or a file of them. @defaultValue `importance.json` in the folder */
  readonly importance?: string | Importance;
  /** For the model card: the result of `dropModules`, or a file of it. @defaultValue `drop_report.json` in the folder */
  readonly report?: string | Evidence['report'];
}

/** What was written, and how near its logits are to the model's. */
export interface ExportRecord extends ExportResult {
  /** Version of llm-drop. */
  readonly version: string;
  /** The model's folder, as it was named. */
  readonly model: string;
}

/**
 * Writes a model folder for another engine: a plain checkpoint, a GGUF file, or a folder for vLLM. What was written is read
 * back and compared with the model before it appears, with a model card. UserError where the format cannot hold the model.
 */
export async function exportCheckpoint(folder: string, o: ExportCheckpointOptions): Promise<ExportRecord> {
  const [scores, drop] = [o.importance, o.report].map((given) => (typeof given === 'string' ? given : undefined));
  await using _claim = await claimOutputs({ reads: [folder, o.adapter, scores, drop], writes: exportOutputs(o) });
  await using opened = await openModel(folder, { ...o, blocks: blocksFor(o) });
  opened.notes.forEach((note) => o.onNote?.(note));
  const { adapter: _merged, importance, report, onProgress: _told, onNote: _noted, signal: _stop, ...options } = o;
  const layers = opened.config.numHiddenLayers;
  const result = await exportModel(opened, {
    ...options,
    importance: importance === undefined ? undefined : (await scoresOf(importance, layers)).importance,
    report: typeof report === 'string' ? parseReport(await readJson(report), report) : report,
    onProgress: stageOf(o, 'exporting'),
  });
  return { version: llmDropVersion(), model: folder, ...result };
}
