import {
  gateNormImportance,
  metricNames,
  type Importance,
  type MetricName,
  type Shard,
  type ShardRecord,
} from '../drop/index.js';
import { claimOutputs, type Output } from '../checkpoint/index.js';
import { progressPaths, withChecksum } from '../progress/index.js';
import { drawRows, rowDefaults } from '../text/index.js';
import { UserError } from '../engine/index.js';
import { defaultMaxMemory, recordedDrops, type Drops, type LoadedModel, type LoadOptions } from '../models/index.js';
import { checkJob, type JobOptions } from './jobOptions.js';
import { writeJson } from './jsonFiles.js';
import { provenance, type Provenance } from './provenance.js';
import { progressPathOf, scoreRows, type ScoredRows } from './scoreRows.js';
import { loadTextModel, type TextModel } from './textModel.js';
import { rowsOfText, type RowOptions } from './textRows.js';

/** What a model's modules are scored by. */
export type ScoreMetric = Exclude<MetricName, 'random'>;
export const scoreMetrics = metricNames.filter((name): name is ScoreMetric => name !== 'random');

export interface ScoreModelOptions
  extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory' | 'drops'>, Omit<RowOptions, 'heldOut'> {
  /** Text to calibrate on: .txt files, .jsonl files, or folders of them, of which one row is taken in turn; none for `gate-norm`. */
  readonly calibration?: readonly string[];
  /** `gate-norm` reads weights alone. @defaultValue 'cosine' */
  readonly metric?: ScoreMetric;
  /** Draws the rows at random from the first 8 times as many, the same for the same seed. @defaultValue the first rows */
  readonly seed?: number;
  /** Windows of so many blocks to score. @defaultValue of all lengths; where layers are streamed, of 1 */
  readonly gaps?: readonly number[];
  /** Scores every `count`-th row only, from the `index`-th, for `mergeShards`. @defaultValue all rows */
  readonly shard?: Shard;
  /** Bytes that the process may take: weights that do not fit are streamed. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
  /** A file for the result as JSON; an interrupted run leaves its progress beside it. @defaultValue none is written */
  readonly out?: string;
  /** A folder to keep the progress in, instead. */
  readonly state?: string;
}

/** Scores by original layer, and what they came from. */
export interface ScoreRecord extends Importance, Provenance, Partial<ShardRecord> {
  /** The model's folder, as it was named. */
  readonly model: string;
  readonly calibration: readonly string[];
  readonly seed: number | null;
  /** The text's first rows that were drawn from, or those spread over it: what lies elsewhere is held out. */
  readonly drawnFrom: number;
  /** What the model had dropped before. */
  readonly drop: Drops;
}

/**
 * Scores how redundant each attention, MLP and window of blocks of a model folder is, in one pass over a text. Goes on
 * where an interrupted run with the same `out` or `state` left off. UserError for options that do not go together, and
 * for files that cannot be read.
 */
export async function scoreModel(folder: string, options: ScoreModelOptions = {}): Promise<ScoreRecord> {
  checkJob(options);
  const o = { ...options, metric: options.metric ?? 'cosine', maxMemory: options.maxMemory ?? defaultMaxMemory() };
  checkText(o);
  await using _claim = await claimOutputs({
    reads: [folder, o.adapter, ...(o.calibration ?? [])],
    writes: outputsOf(o),
  });
  const { length = rowDefaults.length, calibration } = o;
  await using loaded = await loadTextModel(folder, { ...o, memory: { bytes: o.maxMemory, rowLength: length } });
  const { model } = loaded;
  const scored: Scored = calibration ? await scoreText(loaded, calibration, o) : await scoreWeights(model);
  const scores: ScoreRecord = {
    model: folder,
    ...scored.importance,
    calibration: calibration ?? [],
    seed: o.seed ?? null,
    drawnFrom: scored.drawnFrom,
    ...(o.spread && { spread: true }),
    drop: recordedDrops(model.config),
    ...provenance(model),
    ...scored.record,
  };
  const record = o.shard ? withChecksum(scores) : scores;
  if (o.out !== undefined) await writeJson(o.out, record);
  await scored.finished?.();
  return record;
}

/** The scores, and their progress beside them or in a folder of its own, which other runs may use too. */
function outputsOf(o: ScoreModelOptions): Output[] {
  const [progress, ...beside] = progressPaths(progressPathOf(o) ?? '');
  const output = { kind: 'file', overwrite: true } as const;
  const scores =
    o.out === undefined ? [] : [{ ...output, path: o.out, beside: o.state === undefined ? [progress, ...beside] : [] }];
  return o.state === undefined ? scores : [...scores, { ...output, path: progress, beside, placed: true }];
}

interface Scored extends Pick<ScoredRows, 'importance' | 'record'>, Partial<Pick<ScoredRows, 'finished'>> {
  readonly drawnFrom: number;
}

async function scoreText(
  { model, tokenizer }: TextModel,
  calibration: readonly string[],
  o: ScoreModelOptions & { readonly metric: ScoreMetric; readonly maxMemory: number },
): Promise<Scored> {
  const { seed } = o;
  const drawn = await rowsOfText(tokenizer, model.config, { ...o, heldOut: 0 }, (watching, rows) =>
    drawRows(watching, calibration, { ...rows, seed }),
  );
  if (drawn.note) o.onNote?.(drawn.note);
  return { ...(await scoreRows(model, drawn.rows, o)), drawnFrom: drawn.drawnFrom };
}

const scoreWeights = async (model: LoadedModel): Promise<Scored> => ({
  importance: await gateNormImportance(model),
  drawnFrom: 0,
});

function checkText({ metric, calibration, spread, shard, out }: ScoreModelOptions): void {
  if (metric === 'gate-norm' && calibration)
    throw new UserError('`metric` gate-norm scores weights alone, so `calibration` does not go with it');
  if (metric !== 'gate-norm' && !calibration)
    throw new UserError('score needs `calibration` <file>', { hint: 'llm-drop score --help shows examples' });
  if (metric === 'gate-norm' && spread)
    throw new UserError('`metric` gate-norm scores weights alone, so `spread` does not go with it');
  if (shard && out === undefined)
    throw new UserError('`shard` needs `out`: its scores are for llm-drop merge', {
      hint: 'llm-drop score --help shows examples',
    });
}
