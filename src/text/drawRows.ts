import { calibrationRows, type CalibrationOptions } from './calibrationRows.js';
import type { CalibrationTokenizer } from './packedRows.js';
import { checkOptions, whole } from '../engine/index.js';
import { seedOption, uniform } from '../models/index.js';
import { rowDefaults } from './rowDefaults.js';

/** With a seed, rows are drawn from this many times as many. */
const pool = 8;

export interface DrawnRows {
  readonly rows: readonly Int32Array[];
  readonly length: number;
  /** The first rows of the text (or those spread over it), from which they come: the text's other rows are held out. */
  readonly drawnFrom: number;
  /** How this differs from what was asked for. */
  readonly note?: string;
}

/** The first `samples` rows of the text, or as many spread over it; with a seed, so many of 8 x `samples`, in a random order. */
export async function drawRows(
  tokenizer: CalibrationTokenizer,
  files: readonly string[],
  o: CalibrationOptions & { seed?: number } = {},
): Promise<DrawnRows> {
  checkOptions(o, { samples: whole(1), seed: seedOption });
  const { samples = rowDefaults.samples, seed } = o;
  const { rows, length, note } = await calibrationRows(tokenizer, files, {
    ...o,
    samples: seed === undefined ? samples : pool * samples,
  });
  const told = rows.length < samples || length < (o.length ?? rowDefaults.length) ? note : undefined;
  return {
    rows: seed === undefined ? rows : shuffled(rows, seed).slice(0, samples),
    length,
    drawnFrom: rows.length,
    note: told,
  };
}

/** Fisher and Yates; the same order for the same seed. */
function shuffled<T>(items: readonly T[], seed: number): T[] {
  const next = uniform(seed);
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
