import type { Int4Method, ModelSource } from '../checkpoint/index.js';
import { sweepRows, type HeldOutText } from '../text/index.js';
import { UserError } from '../engine/index.js';
import { Model, defaultMaxMemory, openModel } from '../models/index.js';
import type { GroupOptions, QuantizeMethod, QuantizeRecord } from '../quant/index.js';
import { checkJob, engineFor, type ComputeOptions, type JobOptions } from './jobOptions.js';
import { lossesOf } from './losses.js';
import { claimModelFolder, writtenModel } from './modelFolder.js';
import { checkShapes } from './quantizeShapes.js';
import { workOutQuantized, type QuantizeSettings } from './quantizeWork.js';
import { rowsOfText, type RowOptions } from './textRows.js';

export interface QuantizeCheckpointOptions extends JobOptions, ComputeOptions, RowOptions {
  /** The folder to write the quantized model to. */
  readonly out: string;
  /** Replace a model folder that is already there, and holds nothing else. @defaultValue false */
  readonly overwrite?: boolean;
  /** How weights are rounded; `gptq` and `awq` look at a text. @defaultValue 'gptq' */
  readonly method?: QuantizeMethod;
  /** The files' layout. @defaultValue 'compressed-tensors' */
  readonly format?: Int4Method;
  /** Weights along a row that share a scale; -1: the whole row. @defaultValue 128 */
  readonly groupSize?: GroupOptions['groupSize'];
  /** No zero points. @defaultValue true, but for the format `awq`, which always has some */
  readonly symmetric?: boolean;
  /** Of `rtn` and `gptq`: whether each range is cut where that errs less. @defaultValue 'none' */
  readonly clip?: 'none' | 'search';
  /** Of `gptq`: added to the diagonal, as a share of its mean, between 0 and 1. @defaultValue 0.01 */
  readonly damping?: number;
  /** Tokens that must visit an expert to calibrate it on them alone. @defaultValue 128 */
  readonly expertFloor?: number;
  /** The output projection too, rounded to nearest. @defaultValue false */
  readonly head?: boolean;
  /** Text to calibrate on: .txt files, .jsonl files, or folders of them. */
  readonly calibration?: readonly string[];
  /** Texts to measure the loss on, each for itself. @defaultValue the calibration text, behind its rows */
  readonly texts?: readonly string[];
  /** Bytes that measuring the loss may take: weights that do not fit are streamed. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
}

/** What was written to the folder as `quantize_report.json`, and where. */
export interface QuantizeResult extends QuantizeRecord {
  readonly out: string;
  /** How rows differ from what was asked for, what was not measured, and what quantizing warns of. */
  readonly notes: readonly string[];
}

/**
 * Writes a model folder with its projections as integers of 4 bits, in groups along a row, what is dropped left out; it
 * loads in transformers and vLLM. Goes on where an interrupted run with the same `out` left off. UserError for options
 * that do not go together, for shapes that the format cannot hold, and for an `out` that is not
 * empty or in the way of what is read.
 */
export async function quantizeCheckpoint(folder: string, o: QuantizeCheckpointOptions): Promise<QuantizeResult> {
  checkJob(o);
  const settings = settingsOf(o);
  checkSettings(settings, o);
  const { out, onProgress, onNote, signal } = o;
  await using _claim = await claimModelFolder(o, [folder, o.adapter, ...(o.calibration ?? []), ...(o.texts ?? [])]);
  await using source = await openModel(folder, { ...o, blocks: 'bfloat16' });
  source.notes.forEach((note) => onNote?.(note));
  using computing = await engineFor(o);
  const { engine } = computing;
  using model = new Model(engine, source.description, source.source);
  checkShapes(source, model, settings);
  const { calibration, texts, spread, length, notes } = await rowsOf(source.source, model, o);
  const memory = { bytes: o.maxMemory ?? defaultMaxMemory(), rowLength: length };
  const before = await lossesOf(model, source.source, model.drops, texts, { ...o, memory });
  const record = await writtenModel(o, (resume) =>
    workOutQuantized({
      ...{ source, model, settings, name: folder },
      ...{ rows: settings.method === 'rtn' ? [] : calibration, files: o.calibration ?? [], spread, texts, before },
      ...{ memory, resume, continues: 'continuing', onProgress, onNote, signal },
    }),
  );
  return { ...record, out, notes: [...notes, ...record.warnings] };
}

function settingsOf(o: QuantizeCheckpointOptions): QuantizeSettings {
  const { method = 'gptq', format = 'compressed-tensors', groupSize = 128, clip = 'none', head = false } = o;
  const { damping = 0.01, expertFloor = 128 } = o;
  // Whether weights are symmetric by default: AWQ files always have zero points, and vLLM runs the other formats only
  // without.
  const symmetric = o.symmetric ?? format !== 'awq';
  return { groupSize, symmetric, clip, method, format, damping, expertFloor, head };
}

function checkSettings({ method, clip }: QuantizeSettings, { calibration }: QuantizeCheckpointOptions): void {
  if (method !== 'rtn' && !calibration)
    throw new UserError(`\`method\` ${method} needs \`calibration\` with a text`, {
      hint: '`method` rtn looks at none',
    });
  if (method === 'awq' && clip === 'search')
    throw new UserError('awq cuts ranges by a search of its own, so `clip` does not go with it');
}

interface Rows {
  readonly calibration: readonly Int32Array[];
  readonly texts: readonly HeldOutText[];
  readonly spread?: boolean;
  /** Tokens of the longest. */
  readonly length: number;
  readonly notes: readonly string[];
}

/** Rows to calibrate on, and to measure on. */
async function rowsOf(source: ModelSource, model: Model, o: QuantizeCheckpointOptions): Promise<Rows> {
  const given = o.calibration ?? o.texts;
  if (!given) return { calibration: [], texts: [], length: 1, notes: ['no loss is measured without `texts`'] };
  const { texts } = o;
  const found = await rowsOfText(await source.tokenizer(), model.config, o, (tokenizer, options) =>
    sweepRows(tokenizer, given, { ...options, texts }),
  );
  const { calibration, heldOut, spread } = found;
  return { calibration, texts: heldOut, spread, length: found.length, notes: found.notes };
}
