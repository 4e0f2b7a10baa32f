import { UserError, type Tensor } from '../engine/index.js';
import { walkOutputs, type OutputOptions } from '../walk/index.js';
import { notFinite, type Model } from '../models/index.js';
import { mean, standardError } from './mean.js';

export interface LossResult {
  /** Mean negative log-likelihood of the next token, in nats. */
  readonly loss: number;
  readonly perplexity: number;
  /** Predictions counted: a row of n tokens makes n - 1, where not all but fewer are asked for. */
  readonly tokens: number;
  readonly rowLosses: readonly number[];
}

export interface LossOptions extends OutputOptions {
  /** How many of each row's last tokens count, where the others are there to be read only. @defaultValue all but the first */
  readonly counted?: readonly number[];
}

/** The model's loss on rows of tokens, each from its own start; layers that are not loaded are streamed. */
export async function evaluateLoss(
  model: Model,
  rows: readonly Int32Array[],
  { counted, ...options }: LossOptions = {},
): Promise<LossResult> {
  checkPredictable(rows, 'a loss');
  const nats: number[] = [];
  await walkOutputs(model, rows, options, async (hidden, index) => {
    nats.push(await rowNats(model, hidden, rows[index], counted?.[index]));
  });
  return lossOf(nats, counted ?? rows.map(({ length }) => length - 1));
}

/** Fails where a row has no token to predict; `what` needs it, as in 'a loss'. */
export function checkPredictable(rows: readonly Int32Array[], what: string): void {
  if (rows.length === 0 || rows.some(({ length }) => length < 2))
    throw new UserError(`${what} needs at least one row of two tokens`);
}

/**
 * Nats of a row's predictions together, all or the last `counted`; `hidden` [T, D] are its last hidden states.
 * NotFiniteError for no number.
 */
export async function rowNats(
  model: Model,
  hidden: Tensor,
  row: Int32Array,
  counted = row.length - 1,
): Promise<number> {
  const first = row.length - 1 - counted;
  const losses = await model.engine.readFloats(model.losses(hidden.rows(first, row.length - 1), row.slice(first + 1)));
  const nats = losses.reduce((sum, value) => sum + value, 0);
  if (!Number.isFinite(nats)) throw await notFinite(model, row, 'the loss');
  return nats;
}

/** The loss on rows of so many nats, of so many predictions. */
export function lossOf(nats: readonly number[], counts: readonly number[]): LossResult {
  const tokens = counts.reduce((sum, count) => sum + count, 0);
  const loss = nats.reduce((a, b) => a + b, 0) / tokens;
  return { loss, perplexity: Math.exp(loss), tokens, rowLosses: nats.map((sum, i) => sum / counts[i]) };
}

/** A loss in which each row counts the same, however long it is. */
export function byRows(result: LossResult): LossResult {
  const loss = result.rowLosses.reduce((a, b) => a + b, 0) / result.rowLosses.length;
  return { ...result, loss, perplexity: Math.exp(loss) };
}

/** The mean difference of two models' row losses, and its standard error over the rows (null for one row): what differs between rows cancels. */
export function pairedDifference(
  before: Pick<LossResult, 'rowLosses'>,
  after: Pick<LossResult, 'rowLosses'>,
): { difference: number; standardError: number | null } {
  const differences = after.rowLosses.map((loss, i) => loss - before.rowLosses[i]);
  return { difference: mean(differences), standardError: standardError(differences) };
}
