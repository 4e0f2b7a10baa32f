import { UserError } from '../engine/index.js';
import { BaseOutputs, byRows, evaluateLoss, type LossResult, type ModelDivergence } from '../evaluate/index.js';
import { defaultMaxMemory, type Drops, type LoadOptions } from '../models/index.js';
import {
  calibrationRows,
  rowDefaults,
  rowsDigest,
  stridedWindows,
  textSize,
  type BosPlace,
  type TextSize,
} from '../text/index.js';
import { checkJob, engineFor, stageOf, type JobOptions } from './jobOptions.js';
import { provenance, type Provenance } from './provenance.js';
import { streamingNote } from './streamingNote.js';
import { loadTextModel, type TextModel } from './textModel.js';
import { rowsOfText, type RowOptions } from './textRows.js';

export interface EvaluateModelOptions
  extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory'>, Omit<RowOptions, 'samples' | 'spread'> {
  /** Texts to measure on, of which one row is taken in turn. */
  readonly texts: readonly string[];
  /** Where the beginning-of-text token goes, for a loss that compares with another tool's. Documents that stand `alone` count the same each. @defaultValue nowhere */
  readonly bos?: BosPlace;
  /** Moves a window of `length` over the one text by so many tokens, each of which counts once. @defaultValue the length, each row from its own start */
  readonly stride?: number;
  /** Another model's folder, as whose the next-token distributions should be. @defaultValue none */
  readonly kl?: string;
  /** Bytes that the process may take: weights that do not fit are streamed. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
}

/** A loss, and what it was measured on. */
export interface EvaluateResult extends LossResult, TextSize, Provenance {
  readonly model: string;
  readonly text: readonly string[];
  readonly rows: number;
  /** Tokens a row; where documents stand alone, at most. */
  readonly length: number;
  readonly bos: BosPlace | null;
  readonly stride: number | null;
  /** The same loss by the word and by the byte of the text, EOS counted as tokens but not as text. */
  readonly wordPerplexity: number;
  readonly bytePerplexity: number;
  readonly bitsPerByte: number;
  readonly drop: Drops;
  /** How far from `model`, which is the other one. */
  readonly kl?: ModelDivergence & { readonly model: string };
}

/**
 * Measures a model folder's loss on the first rows of a text, each from its own start, or by a stride; with `kl` also how
 * far its predictions are from another model's. UserError where the text holds no row, for a `bos` of a model without such
 * a token, and for two models of different tokens.
 */
export async function evaluateModel(folder: string, o: EvaluateModelOptions): Promise<EvaluateResult> {
  checkJob(o);
  checkStride(o);
  using computing = await engineFor(o);
  const { engine } = computing;
  const { length = rowDefaults.length, maxMemory = defaultMaxMemory() } = o;
  const memory = { bytes: maxMemory, rowLength: length };
  const { onProgress, onNote, signal } = o;
  await using base =
    o.kl === undefined ? undefined : await loadTextModel(o.kl, { engine, memory, onProgress, onNote, signal });
  const expected = base && (await textOf(base, o));
  using outputs =
    base && (await BaseOutputs.of(base.model, expected!.rows, { ...expected, ...walking(o, 'measuring the other') }));
  await using loaded = await loadTextModel(folder, { ...o, engine, memory });
  const { model, tokenizer } = loaded;
  const text = await textOf(loaded, o);
  if (text.note !== undefined) o.onNote?.(text.note);
  if (!model.isLoaded) o.onNote?.(streamingNote(model, maxMemory));
  if (expected && rowsDigest(expected.rows) !== rowsDigest(text.rows))
    throw new UserError(`${folder} and ${o.kl} make different tokens of the text, so their predictions do not compare`);
  const { loss: measured, divergence } = outputs
    ? await outputs.compare(model, walking(o, 'measuring'))
    : { loss: await evaluateLoss(model, text.rows, { ...text, ...walking(o, 'measuring') }), divergence: undefined };
  const size = textSize(tokenizer, text.text);
  return {
    model: folder,
    ...(o.bos === 'alone' ? byRows(measured) : measured),
    text: o.texts,
    rows: text.text.length,
    length: text.length,
    bos: o.bos ?? null,
    stride: o.stride ?? null,
    ...size,
    ...byText(measured.loss, text.tokens, size),
    drop: model.drops,
    ...(divergence && { kl: { model: o.kl!, ...divergence } }),
    ...provenance(model),
  };
}

/** Rows to run, of which the last `counted` tokens count, and the text that they are made of. */
interface MeasuredText {
  readonly rows: readonly Int32Array[];
  readonly counted: readonly number[];
  readonly text: readonly Int32Array[];
  readonly length: number;
  /** Of the text, EOS included; where documents stand alone, BOS not. */
  readonly tokens: number;
  readonly note?: string;
}

async function textOf(
  { model, tokenizer }: Pick<TextModel, 'model' | 'tokenizer'>,
  o: EvaluateModelOptions,
): Promise<MeasuredText> {
  const { bos, stride, heldOut: samples = rowDefaults.heldOut } = o;
  const found = await rowsOfText(tokenizer, model.config, { ...o, samples, heldOut: 0 }, (watching, options) =>
    calibrationRows(watching, o.texts, { ...options, bos }),
  );
  const { rows: text, length, note } = found;
  const windows =
    stride === undefined
      ? { rows: text, counted: text.map((row) => row.length - 1) }
      : stridedWindows(text, length, stride);
  const tokens = text.reduce((sum, row) => sum + row.length - (bos === 'alone' ? 1 : 0), 0);
  return { ...windows, text, length, tokens, note };
}

const walking = (o: EvaluateModelOptions, stage: string) => ({
  maxMemory: o.maxMemory,
  onProgress: stageOf(o, stage),
  signal: o.signal,
});

/** A mean loss by the token as one by the word, or by the byte, of the same text. */
function byText(
  loss: number,
  tokens: number,
  { words, bytes }: TextSize,
): Pick<EvaluateResult, 'wordPerplexity' | 'bytePerplexity' | 'bitsPerByte'> {
  const nats = loss * tokens;
  return {
    wordPerplexity: Math.exp(nats / words),
    bytePerplexity: Math.exp(nats / bytes),
    bitsPerByte: nats / bytes / Math.LN2,
  };
}

function checkStride({ stride, bos, texts }: EvaluateModelOptions): void {
  if (stride === undefined) return;
  if (texts.length > 1)
    throw new UserError('`stride` moves a window over one text, so several texts do not go with it');
  if (bos === 'row' || bos === 'alone')
    throw new UserError(
      `\`stride\` moves a window over documents that are joined, so \`bos\` ${bos} does not go with it`,
    );
}
