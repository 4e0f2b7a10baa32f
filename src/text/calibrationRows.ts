import { UserError, checkOptions, flag, number, oneOf, text, whole, type Options } from '../engine/index.js';
import {
  bosPlaces,
  inTurn,
  noRow,
  packedTexts,
  type CalibrationTokenizer,
  type PackedTexts,
  type PackingOptions,
} from './packedRows.js';
import { rowDefaults } from './rowDefaults.js';
import { spreadRows } from './spreadRows.js';

export interface CalibrationOptions extends PackingOptions {
  /** Rows wanted; default 256. */
  samples?: number;
  /** Rows to leave out at the beginning: with the number used for calibration the rows are held out from it. */
  skip?: number;
  /** Takes the rows evenly from the whole text, which is then read to its end. @defaultValue the first ones */
  spread?: boolean;
}

/** What these may be; a model's context may have no end. */
const calibrationOptions: Options<CalibrationOptions> = {
  samples: whole(1),
  length: whole(2),
  maxLength: number(
    'a whole number of at least 1',
    (tokens) => tokens === Infinity || (tokens >= 1 && tokens % 1 === 0),
  ),
  skip: whole(0),
  field: text,
  bos: oneOf(bosPlaces),
  spread: flag,
};

export interface CalibrationRows {
  /** Each of `length` token ids; documents that stand alone may be shorter. */
  rows: Int32Array[];
  length: number;
  /** Rows asked for; `rows` holds fewer when the text ran out. */
  requested: number;
  /** How the rows differ from what was asked for. */
  note?: string;
  /** Full rows in the whole text, skipped ones included; known only when the text was read to its end. */
  available?: number;
}

/**
 * Packs texts into rows of equal length as LLM-Drop does (docs/formats.md, 'Calibration rows'): every document is
 * tokenized without special tokens and followed by EOS; all are joined and cut into rows, and the remainder is
 * discarded. Several files (or folders) take turns, one row each; one that has run out is left out. Only as much text
 * is tokenized as the rows need. Gives rows [skip, skip + samples), fewer when the text is shorter; or as many from all
 * over the text (see `spreadRows`). UserError when there is none.
 */
export async function calibrationRows(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  o: CalibrationOptions = {},
): Promise<CalibrationRows> {
  checkOptions(o, calibrationOptions);
  const { samples = rowDefaults.samples, skip = 0, spread = false } = o;
  if (spread && skip) throw new UserError('`skip` passes over the first rows, so `spread` does not go with it');
  const packed = packedTexts(tokenizer, files, o);
  const { length } = packed;
  const { rows, available } = spread ? await evenRows(packed, samples) : await firstRows(packed, samples, skip);
  if (!rows.length) throw noRow(packed, skip);
  const behind = skip ? ` behind the first ${skip}` : '';
  const notes = [
    packed.note ?? [],
    rows.length < samples
      ? `${rows.length} rows of ${length} tokens instead of ${samples}: the text holds no more${behind}`
      : [],
  ].flat();
  return { rows, length, requested: samples, note: notes.length ? notes.join('; ') : undefined, available };
}

type Found = Pick<CalibrationRows, 'rows' | 'available'>;

async function firstRows({ texts }: PackedTexts, samples: number, skip: number): Promise<Found> {
  const rows: Int32Array[] = [];
  let seen = 0;
  for await (const row of inTurn(texts)) {
    if (seen++ < skip) continue;
    rows.push(row);
    if (rows.length === samples) return { rows };
  }
  return { rows, available: seen };
}

async function evenRows({ texts }: PackedTexts, samples: number): Promise<Found> {
  const { calibration, available } = await spreadRows(texts, { samples });
  return { rows: calibration, available };
}
