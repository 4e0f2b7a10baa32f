import type { OutputOptions } from '../walk/index.js';
import { evaluateLoss, pairedDifference, type LossResult } from '../evaluate/index.js';
import type { Model } from '../models/index.js';
import type { CalibrationRecord } from '../text/index.js';
import type { Compensation } from './compensate.js';
import type { HeldOutText } from '../text/index.js';

/** What a compensation was and what it gave back. */
export interface CompensationRecord extends Pick<Compensation, 'mode' | 'alpha' | 'refits' | 'leftAlone'> {
  /** What the projections were fitted on. */
  readonly calibration: CalibrationRecord;
  /** On each text that was measured, on rows that the fit did not see. */
  readonly losses: readonly CompensationLoss[];
}

/** Losses in nats a token: of the whole model, after the drop, after the refit. */
export interface CompensationLoss {
  readonly name: string;
  readonly rows: number;
  readonly whole: number;
  readonly dropped: number;
  readonly refit: number;
  /** Refit less dropped, paired over the rows; the error is null for one row. */
  readonly difference: number;
  readonly standardError: number | null;
  /** The share of what the drop cost that came back; null where it cost nothing. */
  readonly recovered: number | null;
}

export function compensationLoss(
  name: string,
  whole: LossResult,
  dropped: LossResult,
  refit: LossResult,
): CompensationLoss {
  const cost = dropped.loss - whole.loss;
  return {
    name,
    rows: refit.rowLosses.length,
    whole: whole.loss,
    dropped: dropped.loss,
    refit: refit.loss,
    ...pairedDifference(dropped, refit),
    recovered: cost > 0 ? (dropped.loss - refit.loss) / cost : null,
  };
}

/** The loss on each text. */
export async function textLosses(
  model: Model,
  texts: readonly HeldOutText[],
  { onProgress, ...options }: OutputOptions = {},
): Promise<LossResult[]> {
  const total = texts.reduce((sum, { rows }) => sum + rows.length, 0);
  const losses: LossResult[] = [];
  let before = 0;
  for (const { rows } of texts) {
    const start = before;
    losses.push(
      await evaluateLoss(model, rows, { ...options, onProgress: (done) => onProgress?.(start + done, total, 'rows') }),
    );
    before += rows.length;
  }
  return losses;
}
