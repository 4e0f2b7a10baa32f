import { byRows, evaluateLoss, type LossResult } from '../evaluate/index.js';
import type { Drops, LoadOptions } from '../models/index.js';
import { calibrationRows, rowDefaults, type BosPlace } from '../text/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import { provenance, type Provenance } from './provenance.js';
import { loadTextModel } from './textModel.js';
import { rowsOfText, type RowOptions } from './textRows.js';

export interface EvaluateModelOptions
  extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory'>, Omit<RowOptions, 'samples' | 'spread'> {
  /** Texts to measure on, of which one row is taken in turn. */
  readonly texts: readonly string[];
  /** Where the beginning-of-text token goes, for a loss that compares with another tool's. Documents that stand `alone` count the same each. @defaultValue nowhere */
  readonly bos?: BosPlace;
}

/** A loss, and what it was measured on. */
export interface EvaluateResult extends LossResult, Provenance {
  readonly model: string;
  readonly text: readonly string[];
  readonly rows: number;
  /** Tokens a row; where documents stand alone, at most. */
  readonly length: number;
  readonly bos: BosPlace | null;
  readonly drop: Drops;
}

/**
 * Measures a model folder's loss on the first rows of a text, each from its own start. UserError where the text holds no
 * row, and for a `bos` of a model without such a token.
 */
export async function evaluateModel(folder: string, o: EvaluateModelOptions): Promise<EvaluateResult> {
  await using loaded = await loadTextModel(folder, o);
  const { model, tokenizer } = loaded;
  const { bos, heldOut: samples = rowDefaults.heldOut } = o;
  const { rows, length, note } = await rowsOfText(
    tokenizer,
    model.config,
    { ...o, samples, heldOut: 0 },
    (watching, options) => calibrationRows(watching, o.texts, { ...options, bos }),
  );
  if (note !== undefined) o.onNote?.(note);
  const measured = await evaluateLoss(model, rows, { onProgress: stageOf(o, 'measuring'), signal: o.signal });
  return {
    model: folder,
    ...(bos === 'alone' ? byRows(measured) : measured),
    text: o.texts,
    rows: rows.length,
    length,
    bos: bos ?? null,
    drop: model.drops,
    ...provenance(model),
  };
}
