import { checkOptions, whole } from '../engine/index.js';
import { calibrationRows, type CalibrationOptions } from './calibrationRows.js';
import { noRow, packedTexts, type CalibrationTokenizer } from './packedRows.js';
import { rowDefaults } from './rowDefaults.js';
import { spreadRows } from './spreadRows.js';

/** Rows to calibrate on, and rows that calibration does not see. */
export interface SplitRows {
  readonly calibration: readonly Int32Array[];
  readonly heldOut: readonly Int32Array[];
  readonly length: number;
  /** Whether both are from all over the text. @defaultValue false */
  readonly spread?: boolean;
  /** How this differs from what was asked for. */
  readonly notes: readonly string[];
}

/**
 * The first `samples` rows to calibrate on and up to `heldOut` after them. Where the text has none left, the last
 * eighth of the rows is kept back, at least four. Where rows are spread, both are from all over the text (see
 * `spreadRows`).
 */
export async function splitRows(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  o: CalibrationOptions & { heldOut?: number } = {},
): Promise<SplitRows> {
  checkOptions(o, { samples: whole(1), heldOut: whole(0) });
  const { samples = rowDefaults.samples, heldOut = rowDefaults.heldOut } = o;
  if (o.spread) return splitSpread(tokenizer, files, { ...o, samples, heldOut });
  const { rows, length, note } = await calibrationRows(tokenizer, files, { ...o, samples: samples + heldOut });
  const notes = note && (rows.length < samples || length < (o.length ?? rowDefaults.length)) ? [note] : [];
  const split = (calibration: number): SplitRows => ({
    calibration: rows.slice(0, calibration),
    heldOut: rows.slice(calibration),
    length,
    notes,
  });
  if (rows.length > samples) return split(samples);
  const back = Math.max(4, Math.floor(rows.length / 8));
  if (rows.length <= back) {
    notes.push(`the text has only ${rows.length} rows: none is left to measure the loss on`);
    return split(rows.length);
  }
  notes.push(
    `the text has no rows after the first ${samples}: the last ${back} of ${rows.length} are kept back to measure the loss on`,
  );
  return split(rows.length - back);
}

async function splitSpread(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  o: CalibrationOptions & { readonly samples: number; readonly heldOut: number },
): Promise<SplitRows> {
  const packed = packedTexts(tokenizer, files, o);
  const { calibration, heldOut, available } = await spreadRows(packed.texts, o);
  if (!calibration.length) throw noRow(packed);
  const { length, note } = packed;
  const few = `the text has only ${available} rows`;
  const notes = [
    note ?? [],
    calibration.length < o.samples
      ? `${few}: ${calibration.length} of ${length} tokens to calibrate on instead of ${o.samples}`
      : [],
    o.heldOut > 0 && heldOut.length === 0 ? `${few}: none is left to measure the loss on` : [],
  ].flat();
  return { calibration, heldOut, length, spread: true, notes };
}
