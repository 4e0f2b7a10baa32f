import { fingerprintOf } from '../progress/index.js';
import { calibrationRecord, type HeldOutText } from '../text/index.js';
import type { LossResult } from '../evaluate/index.js';
import type { MemoryLimit, Model, OpenedModel } from '../models/index.js';
import {
  quantizeLoss,
  quantizeModel,
  quantizeRecordFile,
  quantizedSize,
  writeQuantized,
  type GroupOptions,
  type QuantizeMethod,
  type QuantizeRecord,
  type QuantizeState,
} from '../quant/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { lossesOf } from './losses.js';
import type { ModelToWrite } from './modelFolder.js';
import type { QuantizedForm } from './quantizeShapes.js';
import type { Resume } from './resume.js';
import { versionsOf } from './provenance.js';
import { llmDropVersion } from './version.js';

/** How weights are rounded, complete. */
export interface QuantizeSettings extends QuantizedForm, Required<Pick<GroupOptions, 'clip'>> {
  readonly method: QuantizeMethod;
  readonly damping: number;
  readonly expertFloor: number;
}

/** What is quantized of an opened model, and what is known of it already. */
export interface QuantizeTask extends JobOptions {
  readonly source: OpenedModel;
  /** Of the source; it need not be loaded. */
  readonly model: Model;
  /** As records name the model. */
  readonly name: string;
  readonly settings: QuantizeSettings;
  /** What a method calibrates on, the files that it came from, and whether from all over them. */
  readonly rows: readonly Int32Array[];
  readonly files: readonly string[];
  readonly spread?: boolean;
  /** What the result is measured on, and there what the model loses, where that is known. */
  readonly texts: readonly HeldOutText[];
  readonly before: readonly LossResult[];
  readonly memory?: MemoryLimit;
  readonly resume: Resume;
  /** As a continued run is told: `continuing to quantize`. */
  readonly continues: string;
}

/** Quantizes from where an interrupted run left off, and measures; writes nothing yet. */
export async function workOutQuantized(task: QuantizeTask): Promise<ModelToWrite<QuantizeRecord>> {
  const { source, model, settings, rows, files, texts, before } = task;
  const { drops } = model;
  const { format, method, groupSize, symmetric, clip } = settings;
  const groups = { groupSize, symmetric, clip };
  const quantized = await quantize(task);
  try {
    const after = await lossesOf(model, quantized.parameters, drops, texts, task);
    const record: QuantizeRecord = {
      schema: 'llm-drop/quantize-report/1',
      version: llmDropVersion(),
      date: new Date().toISOString(),
      model: task.name,
      method,
      format,
      ...groups,
      calibration: rows.length ? calibrationRecord(files, rows, task.spread) : null,
      drop: drops,
      ...quantizedSize(source.source, source.description, drops, quantized.replaced, groups),
      losses: after.length ? before.map((loss, i) => quantizeLoss(texts[i].name, loss, after[i])) : [],
      projections: quantized.results,
      warnings: quantized.warnings,
      ...(source.merged !== undefined && { merged: source.merged }),
      versions: versionsOf(model.engine),
    };
    return {
      record,
      loss: after.at(0) ?? null,
      write: (out, o) =>
        writeQuantized(source, out, {
          format,
          ...groups,
          replaced: quantized.replaced,
          algorithm: algorithmOf(settings),
          files: { [quantizeRecordFile]: record },
          overwrite: o?.overwrite,
          onProgress: stageOf(task, 'writing'),
        }),
      [Symbol.asyncDispose]: () => quantized[Symbol.asyncDispose](),
    };
  } catch (error) {
    await quantized[Symbol.asyncDispose]();
    throw error;
  }
}

async function quantize(task: QuantizeTask) {
  const { model, rows, resume, signal } = task;
  const { format: _format, ...settings } = task.settings;
  const version = llmDropVersion();
  const progress = await resume.open<QuantizeState>('quantize', () =>
    fingerprintOf({ model, rows: { 'calibration tokens': rows }, settings: { ...settings }, version }),
  );
  if (progress?.previous) task.onNote?.(`${task.continues} behind ${progress.previous.layers} layers`);
  return quantizeModel(model, rows, { ...settings, progress, onProgress: stageOf(task, 'quantizing'), signal });
}

/** For the readers of the folder. */
const algorithmOf = ({ method, damping }: QuantizeSettings) => ({
  quantizer: `llm-drop:${llmDropVersion()}`,
  dampPercent: damping,
  actOrder: method === 'gptq',
});
