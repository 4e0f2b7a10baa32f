import { recordedDrops, type OpenedModel } from '../models/index.js';
import { join } from 'node:path';
import { readJsonObject } from '../checkpoint/index.js';
import {
  dropRecordFile,
  dropReport,
  lossReport,
  methodRecord,
  writeDropped,
  type CompensationRecord,
  type DropRecord,
} from '../drop/index.js';
import { stageOf } from './jobOptions.js';
import type { ModelToWrite } from './modelFolder.js';
import { versionsOf } from './provenance.js';
import { refitDropped, type RefitTask } from './refitDropped.js';
import { llmDropVersion } from './version.js';

/** A dropped model's folder that is refit. */
export interface RefitFolderTask extends Omit<RefitTask, 'stored' | 'drops'> {
  readonly dropped: OpenedModel;
  /** The whole model's name, for a folder that does not say where it came from. */
  readonly name: string;
}

/** How a refit model came about: what dropped it, and what refit it. */
export type RefitRecord = DropRecord & { readonly compensation: CompensationRecord };

/** Refits and measures; writes nothing yet. */
export async function workOutRefit(task: RefitFolderTask): Promise<ModelToWrite<RefitRecord>> {
  const { dropped, whole, losses } = task;
  const drops = recordedDrops(dropped.config);
  const refit = await refitDropped({ ...task, stored: dropped.source, drops });
  const loss = refit.losses.at(0) ?? null;
  const found = await recordOf(task);
  const record: RefitRecord = {
    ...found,
    loss: losses.length && loss ? lossReport(losses[0].whole, loss) : undefined,
    compensation: refit.record,
    version: llmDropVersion(),
    date: new Date().toISOString(),
    versions: { ...found.versions, ...versionsOf(whole.engine) },
  };
  return {
    record,
    loss,
    write: (out, o) =>
      writeDropped(dropped, drops, out, {
        ...o,
        // Experts are in no list.
        target: record.target === 'expert' ? undefined : (record.target ?? undefined),
        report: record,
        replaced: refit.replaced,
        onProgress: stageOf(task, 'writing'),
      }),
    [Symbol.asyncDispose]: () => refit[Symbol.asyncDispose](),
  };
}

/** How the dropped model came about, where its folder says so. */
async function recordOf({ dropped, name }: RefitFolderTask): Promise<DropRecord> {
  const found = await readJsonObject(join(dropped.source.folder, dropRecordFile));
  if (found?.schema === 'llm-drop/drop-report/1') return found as unknown as DropRecord;
  return {
    schema: 'llm-drop/drop-report/1',
    version: llmDropVersion(),
    date: '',
    model: name,
    ...dropReport(dropped, recordedDrops(dropped.config)),
    ...methodRecord(undefined),
    calibration: null,
    versions: {},
  };
}
