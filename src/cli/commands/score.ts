import {
  gateNormImportance,
  metricNames,
  type Importance,
  type MetricName,
  type Shard,
  type ShardRecord,
} from '../../drop/index.js';
import { drawRows } from '../../text/index.js';
import { UserError } from '../../engine/index.js';
import { defaultMaxMemory, type Drops } from '../../models/index.js';
import { barChart } from '../barChart.js';
import { calibrationOptions, watched } from '../calibration.js';
import { command } from '../command.js';
import { checkOutputFile, writeJson } from '../jsonFiles.js';
import { loadForText } from '../loadForText.js';
import { choice, files, int, text } from '../options.js';
import { provenance, type Provenance } from '../provenance.js';
import { counts, shard, size } from '../scale.js';
import { scoreAtScale } from '../scoreAtScale.js';
import { formatCount } from '../units.js';

/** Scores, and what they came from: the document of `score` and what `drop --importance` reads. */
export interface ScoreResult extends Importance, Provenance, Partial<ShardRecord> {
  readonly model: string;
  readonly calibration: readonly string[];
  readonly seed: number | null;
  /** The text's first rows that were drawn from. */
  readonly drawnFrom: number;
  /** What the model had dropped before. */
  readonly drop: Drops;
}

type ScoreMetric = Exclude<MetricName, 'random'>;
const scoreMetrics = metricNames.filter((name): name is ScoreMetric => name !== 'random');

export const score = command('score', 'Score how redundant each attention, MLP and block is', {
  description:
    'The score of a module is the mean cosine similarity of what enters and what leaves it, over all tokens of the ' +
    'calibration rows: the higher, the more redundant. One pass scores all. Rows are the first ones of the text; with ' +
    '--seed they are drawn in a seeded random order from the first 8 times as many. Of several files one row is taken ' +
    'from each in turn. --metric scores by something else; gate-norm reads weights and no text.\n\n' +
    'Weights that do not fit in --max-memory are streamed from the disk, a layer at a time. An interrupted run leaves its ' +
    'progress beside --out, and the same command line continues it.',
  options: {
    calibration: files('text to calibrate on: .txt, .jsonl, or a folder of them; not for gate-norm'),
    metric: choice<ScoreMetric>('what to score by; gate-norm reads weights alone', scoreMetrics, 'cosine'),
    ...calibrationOptions,
    seed: int('draw the rows at random, the same for the same seed', 0),
    gap: counts('score windows of so many blocks only (default: of all lengths; when layers are streamed, of 1)'),
    shard: shard('score every n-th row only, from the i-th: one of n jobs, for llm-drop merge'),
    maxMemory: size('memory to stay under, e.g. 2GB (default: 80% of the machine)'),
    out: text('also write the JSON document to this file', 'file'),
    state: text('keep the progress in this folder, not beside --out', 'dir'),
  },
  examples: [
    ['score Llama-3.2-1B --calibration c4.jsonl', '256 rows of 2048 tokens'],
    [
      'score models/tiny-stories --calibration stories.txt --samples 32 --length 512 --out importance.json',
      'for drop --importance',
    ],
    ['score Llama-3.2-1B --metric gate-norm', 'attentions by their weights, without a text'],
    ['score Llama-3.1-70B --calibration c4.jsonl --max-memory 8GB --gap 1,4,8', 'a layer at a time, from the disk'],
    ['score Llama-3.2-1B --calibration c4.jsonl --shard 3/16 --out part-3.json', 'one of 16 jobs'],
    ['score Mistral-7B --calibration code.jsonl prose.txt --seed 1', 'a row of each file in turn, drawn at random'],
  ],
  run: async (o, ui) => {
    checkText(o);
    if (o.out !== undefined) await checkOutputFile(o.out);
    const maxMemory = o.maxMemory ?? defaultMaxMemory();
    await using loaded = await loadForText(o.model, { ...o, memory: { bytes: maxMemory, rowLength: o.length } }, ui);
    const { model, tokenizer } = loaded;
    const scoreText = async (calibration: readonly string[]) => {
      const needed = o.samples * Math.min(o.length, model.config.maxPositionEmbeddings);
      const { rows, note, drawnFrom } = await drawRows(
        watched(tokenizer, needed, ui.progress('tokenizing')),
        calibration,
        { ...o, maxLength: model.config.maxPositionEmbeddings },
      );
      ui.note(note);
      return { ...(await scoreAtScale(model, rows, { ...o, maxMemory }, ui)), drawnFrom };
    };
    const scored = o.calibration
      ? await scoreText(o.calibration)
      : { importance: await gateNormImportance(model), drawnFrom: 0, record: undefined, finished: undefined };
    const result: ScoreResult = {
      model: o.model,
      ...scored.importance,
      calibration: o.calibration ?? [],
      seed: o.seed ?? null,
      drawnFrom: scored.drawnFrom,
      drop: { attention: model.config.dropAttention, mlp: model.config.dropMlp },
      ...provenance(model),
      ...scored.record,
    };
    if (o.out !== undefined) await writeJson(o.out, result);
    await scored.finished?.();
    ui.show(result, (r) => describeScores(r, ui.width));
  },
});

function checkText({
  metric,
  calibration,
  shard,
  out,
}: {
  metric: ScoreMetric;
  calibration?: readonly string[];
  shard?: Shard;
  out?: string;
}): void {
  if (metric === 'gate-norm' && calibration)
    throw new UserError('--metric gate-norm scores weights alone, so --calibration does not go with it');
  if (metric !== 'gate-norm' && !calibration)
    throw new UserError('score needs --calibration <file>', { hint: 'llm-drop score --help shows examples' });
  if (shard && out === undefined)
    throw new UserError('--shard needs --out: its scores are for llm-drop merge', {
      hint: 'llm-drop score --help shows examples',
    });
}

/** The chart of what enters and leaves each module. */
export function describeScores({ metric, similarity, samples, length, tokens }: Importance, width: number): string[] {
  const { attention, mlp, block } = similarity;
  const scored =
    metric === 'gate-norm'
      ? 'gate-norm: how weakly queries and keys are coupled, from the weights;'
      : `${metric === 'cosine' ? 'similarity' : metric} of what enters and what leaves, over ${formatCount(tokens)} tokens (${samples} rows of ${length});`;
  return [
    scored,
    'the longer the bar, the more redundant',
    ...barChart(
      [
        { name: 'attention', values: attention },
        { name: 'MLP', values: mlp },
        { name: 'block', values: block },
      ],
      { width },
    ),
  ];
}
