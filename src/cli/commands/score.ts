import { drawRows, scoreImportance, type Importance } from '../../drop/index.js';
import type { Drops } from '../../models/index.js';
import { barChart } from '../barChart.js';
import { calibrationOptions, watched } from '../calibration.js';
import { command } from '../command.js';
import { checkOutputFile, writeJson } from '../jsonFiles.js';
import { loadForText } from '../loadForText.js';
import { int, requiredFiles, text } from '../options.js';
import { provenance, type Provenance } from '../provenance.js';
import { formatCount } from '../units.js';

/** Scores, and what they came from: the document of `score` and what `drop --importance` reads. */
export interface ScoreResult extends Importance, Provenance {
  readonly model: string;
  readonly calibration: readonly string[];
  readonly seed: number | null;
  /** The text's first rows that were drawn from. */
  readonly drawnFrom: number;
  /** What the model had dropped before. */
  readonly drop: Drops;
}

export const score = command('score', 'Score how redundant each attention, MLP and block is', {
  description:
    'The score of a module is the mean cosine similarity of what enters and what leaves it, over all tokens of the ' +
    'calibration rows: the higher, the more redundant. One pass scores all. Rows are the first ones of the text; with ' +
    '--seed they are drawn in a seeded random order from the first 8 times as many. Of several files one row is taken ' +
    'from each in turn.',
  options: {
    calibration: requiredFiles('text to calibrate on: .txt, .jsonl, or a folder of them'),
    ...calibrationOptions,
    seed: int('draw the rows at random, the same for the same seed', 0),
    out: text('also write the JSON document to this file', 'file'),
  },
  examples: [
    ['score Llama-3.2-1B --calibration c4.jsonl', '256 rows of 2048 tokens'],
    [
      'score models/tiny-stories --calibration stories.txt --samples 32 --length 512 --out importance.json',
      'for drop --importance',
    ],
    ['score Mistral-7B --calibration code.jsonl prose.txt --seed 1', 'a row of each file in turn, drawn at random'],
  ],
  run: async (o, ui) => {
    if (o.out !== undefined) await checkOutputFile(o.out);
    await using loaded = await loadForText(o.model, o, ui);
    const { model, tokenizer } = loaded;
    const needed = o.samples * Math.min(o.length, model.config.maxPositionEmbeddings);
    const drawn = await drawRows(watched(tokenizer, needed, ui.progress('tokenizing')), o.calibration, {
      ...o,
      maxLength: model.config.maxPositionEmbeddings,
    });
    ui.note(drawn.note);
    const importance = await scoreImportance(model, drawn.rows, {
      onProgress: ui.progress('scoring'),
      signal: ui.signal,
    });
    const result: ScoreResult = {
      model: o.model,
      ...importance,
      calibration: o.calibration,
      seed: o.seed ?? null,
      drawnFrom: drawn.drawnFrom,
      drop: { attention: model.config.dropAttention, mlp: model.config.dropMlp },
      ...provenance(model),
    };
    if (o.out !== undefined) await writeJson(o.out, result);
    ui.show(result, (r) => describeScores(r, ui.width));
  },
});

/** The chart of what enters and leaves each module. */
export function describeScores({ similarity, samples, length, tokens }: Importance, width: number): string[] {
  const { attention, mlp, block } = similarity;
  return [
    `similarity of what enters and what leaves, over ${formatCount(tokens)} tokens (${samples} rows of ${length});`,
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
