import { evaluateLoss, pairedDifference, type LossResult } from '../evaluate/index.js';
import type { OutputOptions } from '../walk/index.js';
import {
  expertCount,
  modelSize,
  recordedDrops,
  type Drops,
  type ExpertDrops,
  type Model,
  type ModelSize,
  type OpenedModel,
} from '../models/index.js';

/** What a drop saves and what it costs. */
export interface DropReport {
  readonly drop: Drops;
  /** Original layers whose modules stay. */
  readonly keep: Drops;
  readonly before: ModelSize;
  readonly after: ModelSize;
  readonly loss?: LossReport;
  /** What was merged into the weights before, in a sentence. */
  readonly merged?: string;
  /** Where experts were dropped. */
  readonly experts?: ExpertReport;
}

/** Experts that were dropped. */
export interface ExpertReport {
  /** Experts of each mixture. */
  readonly before: number;
  readonly after: number;
  /** By layer, in the numbers of the model that they were dropped from; null where it had none. */
  readonly drop: ExpertDrops;
}

export interface LossReport {
  readonly rows: number;
  readonly before: number;
  readonly after: number;
  readonly difference: number;
  /** Paired over the rows; null for one row. */
  readonly standardError: number | null;
}

export function dropReport(opened: OpenedModel, drops: Drops, loss?: LossReport): DropReport {
  const { source: checkpoint, config, description, merged } = opened;
  const layers = Array.from({ length: config.numHiddenLayers }, (_, i) => i);
  const earlier = recordedDrops(config);
  return {
    drop: drops,
    keep: {
      attention: layers.filter((i) => !drops.attention.includes(i)),
      mlp: layers.filter((i) => !drops.mlp.includes(i)),
    },
    before: modelSize(checkpoint, description, earlier),
    after: modelSize(checkpoint, description, drops),
    loss,
    ...(merged !== undefined && { merged }),
  };
}

/** What a mixture saves that `fewerExperts` has made smaller. */
export function expertReport(
  opened: OpenedModel,
  smaller: OpenedModel,
  drop: ExpertDrops,
  loss?: LossReport,
): DropReport {
  const earlier = recordedDrops(opened.config);
  const experts = { before: expertCount(opened.description), after: expertCount(smaller.description), drop };
  return {
    ...dropReport(opened, earlier, loss),
    after: modelSize(smaller.source, smaller.description, earlier),
    experts,
  };
}

/** The loss as the model is now and with `drops`; the flags are restored. */
export async function measureDrop(
  model: Model,
  drops: Drops,
  rows: readonly Int32Array[],
  options: OutputOptions = {},
): Promise<LossReport> {
  const { before, after } = await lossesAround(model, drops, rows, options);
  return lossReport(before, after);
}

/** Both measurements, row by row. */
export async function lossesAround(
  model: Model,
  drops: Drops,
  rows: readonly Int32Array[],
  options: OutputOptions = {},
): Promise<{ readonly before: LossResult; readonly after: LossResult }> {
  const now = model.drops;
  const progress = (offset: number): OutputOptions => ({
    ...options,
    onProgress: (done) => options.onProgress?.(offset + done, 2 * rows.length, 'rows'),
  });
  const before = await evaluateLoss(model, rows, progress(0));
  try {
    model.setDrops(drops);
    return { before, after: await evaluateLoss(model, rows, progress(rows.length)) };
  } finally {
    model.setDrops(now);
  }
}

export const lossReport = (before: LossResult, after: LossResult): LossReport => ({
  rows: before.rowLosses.length,
  before: before.loss,
  after: after.loss,
  ...pairedDifference(before, after),
});
