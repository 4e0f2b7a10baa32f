import { UserError, checkOptions, list, text, whole } from '../engine/index.js';
import { calibrationRows, type CalibrationOptions } from './calibrationRows.js';
import { splitRows } from './heldOut.js';
import type { CalibrationTokenizer } from './packedRows.js';
import { rowsDigest } from './rowsDigest.js';

/** Rows to measure on, of one text. */
export interface HeldOutText {
  readonly name: string;
  readonly rows: readonly Int32Array[];
}

/** Rows to choose on, and texts to measure on that the choice has not seen. */
export interface SweepRows {
  readonly calibration: readonly Int32Array[];
  readonly heldOut: readonly HeldOutText[];
  /** Whether rows of the calibration text are from all over it. @defaultValue false */
  readonly spread?: boolean;
}

export interface SweepRowsOptions extends Omit<CalibrationOptions, 'skip' | 'bos'> {
  /**
   * Rows of each of `texts` to leave out at the beginning. With the largest number of rows that any of several methods
   * looks at, all are measured on the same rows. @defaultValue 0
   */
  readonly skipRows?: number;
  /** Rows of each text to measure on. */
  readonly heldOut: number;
  /** Texts to measure on, each for itself. @defaultValue the calibration's, behind its rows */
  readonly texts?: readonly string[];
}

/** Rows to choose on and rows to measure on; none of the second is among the first, whatever the files are called. */
export async function sweepRows(
  tokenizer: CalibrationTokenizer,
  calibration: readonly string[],
  o: SweepRowsOptions,
): Promise<SweepRows & { readonly length: number; readonly notes: readonly string[] }> {
  checkOptions(o, { heldOut: whole(0), skipRows: whole(0), texts: list(text) });
  if (!o.texts) {
    const split = await splitRows(tokenizer, calibration, o);
    if (split.heldOut.length === 0)
      throw new UserError('the calibration text has no row left to measure on', {
        hint: 'give more text, ask for fewer or shorter rows, or name another text with `texts`',
      });
    return { ...split, heldOut: [{ name: 'held out', rows: split.heldOut }] };
  }
  const chosen = await calibrationRows(tokenizer, calibration, o);
  const seen = new Set(chosen.rows.map((row) => rowsDigest([row])));
  const heldOut: HeldOutText[] = [];
  const notes = chosen.note ? [chosen.note] : [];
  for (const name of o.texts) {
    const rows = await unseenRows(tokenizer, name, seen, o);
    if (rows.length === 0) throw new UserError(`${name} has no row that calibration has not seen`);
    if (rows.length < o.heldOut) notes.push(`${name}: ${rows.length} rows to measure on instead of ${o.heldOut}`);
    heldOut.push({ name, rows });
  }
  return { calibration: chosen.rows, heldOut, length: chosen.length, spread: o.spread, notes };
}

/** The first rows of a text that are not among those seen: as `eval` measures on, also where those seen are spread. */
async function unseenRows(
  tokenizer: CalibrationTokenizer,
  file: string,
  seen: ReadonlySet<string>,
  o: SweepRowsOptions,
): Promise<Int32Array[]> {
  const first = async (samples: number): Promise<Int32Array[]> => {
    const { rows } = await calibrationRows(tokenizer, [file], { ...o, samples, skip: o.skipRows, spread: false });
    return rows.filter((row) => !seen.has(rowsDigest([row]))).slice(0, o.heldOut);
  };
  const rows = await first(o.heldOut);
  return rows.length === o.heldOut ? rows : first(o.heldOut + seen.size);
}
