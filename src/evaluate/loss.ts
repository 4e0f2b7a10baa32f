import { UserError } from '../engine/index.js';
import { walkRows, type WalkOptions } from '../walk/index.js';
import type { Model } from '../models/index.js';

export interface LossResult {
  /** Mean negative log-likelihood of the next token, in nats. */
  readonly loss: number;
  readonly perplexity: number;
  /** Predictions counted: a row of n tokens makes n - 1. */
  readonly tokens: number;
  readonly rowLosses: readonly number[];
}

/** The model's loss on rows of tokens, each from its own start. */
export async function evaluateLoss(
  model: Model,
  rows: readonly Int32Array[],
  options: Omit<WalkOptions, 'observer'> = {},
): Promise<LossResult> {
  if (rows.length === 0 || rows.some((row) => row.length < 2))
    throw new UserError('a loss needs at least one row of two tokens');
  const sums: number[] = [];
  await walkRows(model, rows, options, async (hidden, index) => {
    const row = rows[index];
    const predicting = hidden.rows(0, row.length - 1);
    const losses = await model.engine.readFloats(model.losses(predicting, row.slice(1)));
    sums.push(losses.reduce((sum, value) => sum + value, 0));
  });
  const tokens = rows.reduce((sum, row) => sum + row.length - 1, 0);
  const loss = sums.reduce((a, b) => a + b, 0) / tokens;
  return { loss, perplexity: Math.exp(loss), tokens, rowLosses: sums.map((sum, i) => sum / (rows[i].length - 1)) };
}

/** The mean difference of two models' row losses, and its standard error over the rows (null for one row): what differs between rows cancels. */
export function pairedDifference(
  before: LossResult,
  after: LossResult,
): { difference: number; standardError: number | null } {
  const differences = after.rowLosses.map((loss, i) => loss - before.rowLosses[i]);
  const n = differences.length;
  const difference = differences.reduce((a, b) => a + b, 0) / n;
  const variance = differences.reduce((sum, d) => sum + (d - difference) ** 2, 0) / (n - 1);
  return { difference, standardError: n > 1 ? Math.sqrt(variance / n) : null };
}
