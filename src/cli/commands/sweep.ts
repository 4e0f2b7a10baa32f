import { targets, type SweepResult, type Target } from '../../drop/index.js';
import { sweepModel, type SweepRecord } from '../../jobs/index.js';
import { calibrationOptions, lossOptions } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { methodOptions } from '../dropOptions.js';
import { choice, choices, flag, int, numbers, requiredFiles, text } from '../options.js';
import { sweepCsv, sweepMarkdown, sweepText } from '../sweepTables.js';

type Format = 'text' | 'markdown' | 'csv';
const formats: readonly Format[] = ['text', 'markdown', 'csv'];

export const sweep = command('sweep', 'Measure what dropping costs and saves, for several targets and counts', {
  description:
    'For each target and count: loss, perplexity, KL divergence from the whole model and top-1 agreement with it on rows ' +
    'that calibration has not seen, and parameters, bytes, key-value bytes and decoding speed beside the whole model. ' +
    'Each --text is measured for itself; without one, rows behind those of --calibration are. A greedy --search is one ' +
    'search for each target, whose first steps are the choices of the smaller counts. With --out, every point is saved ' +
    'as it is found, and the same command goes on where it was interrupted, also with more targets or counts.',
  options: {
    calibration: requiredFiles('text to choose on; of several, a row of each in turn'),
    ...calibrationOptions,
    ...lossOptions,
    target: choices<Target>('what to drop', targets, ['attention', 'mlp', 'block', 'joint']),
    count: numbers('how many of each target', 1, [1, 2, 4, 8]),
    ...methodOptions,
    skipRows: int('rows of each --text to pass over, to measure other methods on the same ones', 0),
    speedRounds: int(
      'runs of 16 decoded tokens for each point and the whole model, in turns; 0 measures no speed',
      0,
      5,
    ),
    budget: text('choose what fits and loses least, e.g. decode=0.8, parameters=100M or kv=0.5,decode=20ms', 'budget'),
    out: text('save the JSON document to this file after each point, and go on from it', 'file'),
    resume: flag('fail unless --out holds the beginning of this sweep'),
    format: choice<Format>('of what is printed', formats, 'text'),
  },
  renamed: { targets: 'target', counts: 'count', texts: 'text' },
  oldNames: { targets: 'target', counts: 'count', rows: 'heldOut' },
  examples: [
    ['sweep Llama-3.2-1B --calibration c4.jsonl --out sweep.json', 'the curve of all targets, saved point by point'],
    [
      'sweep Llama-3.2-1B --calibration c4.jsonl wiki.txt --text news.txt --text code.txt --target attention --count 2,4,6,8 --search greedy-kl --samples 4',
      'a search on mixed text, measured on two others',
    ],
    [
      'sweep Llama-3.2-1B --calibration c4.jsonl --out sweep.json --budget decode=0.8,kv=0.5',
      'and the command that makes the best model within a budget',
    ],
    ['sweep Llama-3.2-1B --calibration c4.jsonl --format csv > sweep.csv', 'for a spreadsheet'],
  ],
  run: async (o, ui) => {
    const { target, count, metric, search, seed, keep, calibration, samples, spread, length, field, heldOut } = o;
    const { skipRows, speedRounds, budget, out, resume } = o;
    const record = await sweepModel(o.model, {
      ...{ targets: target, counts: count, metric, search, seed, keep, calibration, samples, spread, length, field },
      ...{ texts: o.text, heldOut, skipRows, speedRounds, budget, out, resume },
      ...loadOptionsOf(o),
      ...ui.job,
    });
    const chosen = choiceText(record, budget);
    if (o.format === 'csv') for (const line of chosen) ui.note(line);
    ui.show(record, (r) => [
      ...forms[o.format](r, ui.width),
      ...(chosen.length && o.format !== 'csv' ? ['', ...chosen] : []),
    ]);
  },
});

const forms: Record<Format, (result: SweepResult, width: number) => string[]> = {
  text: sweepText,
  markdown: sweepMarkdown,
  csv: sweepCsv,
};

function choiceText({ choice: found }: SweepRecord, budget: string | undefined): string[] {
  if (found === undefined) return [];
  if (found === null) return [`nothing that was measured keeps to ${budget}`];
  const { point } = found;
  return [
    `the smallest loss within ${found.budget}: ${point.target} ${point.count}, loss ${point.loss.toFixed(4)}`,
    found.command,
  ];
}
