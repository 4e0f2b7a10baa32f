import { scoreMetrics, scoreModel, type ScoreMetric } from '../../jobs/index.js';
import { calibrationOptions } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { choice, files, int, numbers, text } from '../options.js';
import { maxMemoryOption, shard } from '../scale.js';
import { describeScores } from '../scoreText.js';

export const score = command('score', 'Score how redundant each attention, MLP and block is', {
  description:
    'The score of a module is the mean cosine similarity of what enters and what leaves it, over all tokens of the ' +
    'calibration rows: the higher, the more redundant. One pass scores all. Rows are the first ones of the text, or with ' +
    '--spread lie evenly over all of it; with ' +
    '--seed they are drawn in a seeded random order from the first 8 times as many. Of several files one row is taken ' +
    'from each in turn. --metric scores by something else; gate-norm reads weights and no text. Of a mixture, the same pass ' +
    'counts how often each expert is visited.\n\n' +
    'Weights that do not fit in --max-memory are streamed from the disk, a layer at a time. An interrupted run leaves its ' +
    'progress beside --out, and the same command line continues it.',
  options: {
    calibration: files('text to calibrate on: .txt, .jsonl, or a folder of them; not for gate-norm'),
    metric: choice<ScoreMetric>('what to score by; gate-norm reads weights alone', scoreMetrics, 'cosine'),
    ...calibrationOptions,
    seed: int('draw the rows at random, the same for the same seed', 0),
    gap: numbers('score windows of so many blocks only (default: of all lengths; when layers are streamed, of 1)', 1),
    shard: shard('score every n-th row only, from the i-th: one of n jobs, for llm-drop merge'),
    maxMemory: maxMemoryOption,
    out: text('also write the JSON document to this file', 'file'),
    state: text('keep the progress in this folder, not beside --out', 'dir'),
  },
  renamed: { gaps: 'gap' },
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
    const { calibration, metric, samples, spread, length, field, seed, shard, maxMemory, out, state } = o;
    const result = await scoreModel(o.model, {
      ...{ calibration, metric, samples, spread, length, field, seed, gaps: o.gap, shard, maxMemory, out, state },
      ...loadOptionsOf(o),
      ...ui.job,
    });
    ui.show(result, (r) => describeScores(r, ui.width));
  },
});
