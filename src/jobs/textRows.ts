import { rowDefaults, type CalibrationTokenizer } from '../text/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { watched } from './watchedTokenizer.js';

/** The rows that a job makes of a text. */
export interface RowOptions {
  /** Rows to calibrate on. @defaultValue 256 */
  readonly samples?: number;
  /** Tokens a row, at most the context of the model. @defaultValue 2048 */
  readonly length?: number;
  /** The text's field in .jsonl files. @defaultValue 'text' */
  readonly field?: string;
  /** Rows to measure the loss on; of each text, where there are several. @defaultValue 16 */
  readonly heldOut?: number;
  /** Takes the calibration text's rows evenly from all of it, which is then read to its end. @defaultValue its first ones */
  readonly spread?: boolean;
}

type CompleteRowOptions = Required<Omit<RowOptions, 'field'>> & Pick<RowOptions, 'field'> & { maxLength: number };

/** Rows of a text, read by `read` as a stage of a job: none is longer than the model's context. */
export async function rowsOfText<T>(
  tokenizer: CalibrationTokenizer,
  { maxPositionEmbeddings: maxLength }: { readonly maxPositionEmbeddings: number },
  o: RowOptions & JobOptions,
  read: (tokenizer: CalibrationTokenizer, rows: CompleteRowOptions) => Promise<T>,
): Promise<T> {
  const { samples = rowDefaults.samples, length = rowDefaults.length, heldOut = rowDefaults.heldOut, field } = o;
  const { spread = false } = o;
  // How much a whole text holds is known at its end.
  const needed = spread ? undefined : (samples + heldOut) * Math.min(length, maxLength);
  const watching = watched(tokenizer, needed, stageOf(o, 'tokenizing'));
  const rows = await read(watching.tokenizer, { samples, length, heldOut, field, spread, maxLength });
  if (spread) watching.finish();
  return rows;
}
