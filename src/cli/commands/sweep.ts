import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { fingerprintDifferences, fingerprintOf, type Fingerprint } from '../../progress/index.js';
import {
  dropMethod,
  metricNames,
  parseBudgets,
  searches,
  sweep as runSweep,
  targets,
  withinBudget,
  type Budget,
  type MetricName,
  type Search,
  type SweepPoint,
  type SweepResult,
  type SweepState,
  type Target,
} from '../../drop/index.js';
import { sweepRows } from '../../text/index.js';
import { UserError } from '../../engine/index.js';
import { watched } from '../../jobs/watchedTokenizer.js';
import { fieldOption } from '../calibration.js';
import { command, loadOptionsOf } from '../command.js';
import { checkOutputFile, readJson, writeJson } from '../../jobs/jsonFiles.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { choice, choices, files, flag, int, layers, numbers, requiredFiles, text } from '../options.js';
import { version } from '../package.js';
import { provenance, type Provenance } from '../../jobs/provenance.js';
import { sweepCsv, sweepMarkdown, sweepText } from '../sweepTables.js';
import type { Ui } from '../ui.js';

type Format = 'text' | 'markdown' | 'csv';
const formats: readonly Format[] = ['text', 'markdown', 'csv'];

/** What --out holds while a sweep runs: all that is needed to go on. */
interface SweepFile extends SweepState, Provenance {
  readonly schema: 'llm-drop/sweep/1';
  readonly model: string;
  /** What the numbers depend on, but for targets and counts: more of these go on in the same file. */
  readonly fingerprint: Fingerprint;
  readonly calibration: readonly string[];
  readonly samples: number;
  readonly length: number;
  readonly metric: MetricName | null;
  readonly search: Search;
  readonly seed: number | null;
  readonly keepLayers: readonly number[];
}

interface SweepDocument extends SweepFile {
  readonly whole: SweepResult['whole'];
  readonly notes: readonly string[];
  /** With --budget: what fits and loses least, and the command that makes it; null where nothing fits. */
  readonly choice?: { readonly budget: string; readonly point: SweepPoint; readonly command: string } | null;
}

export const sweep = command('sweep', 'Measure what dropping costs and saves, for several targets and counts', {
  description:
    'For each target and count: loss, perplexity, KL divergence from the whole model and top-1 agreement with it on rows ' +
    'that calibration has not seen, and parameters, bytes, key-value bytes and decoding speed beside the whole model. ' +
    'Each --text is measured for itself; without one, rows behind those of --calibration are. A greedy --search is one ' +
    'search for each target, whose first steps are the choices of the smaller counts. With --out, every point is saved ' +
    'as it is found, and the same command goes on where it was interrupted, also with more targets or counts.',
  options: {
    calibration: requiredFiles('text to choose on; of several, a row of each in turn'),
    text: files('text to measure on, rows that were calibrated on left out'),
    targets: choices<Target>('what to drop', targets, ['attention', 'mlp', 'block', 'joint']),
    counts: numbers('how many of each target', 1, [1, 2, 4, 8]),
    metric: choice<MetricName>('what to score by (default: cosine)', metricNames),
    search: choice<Search>('score at once, or drop one by one what costs least (default: score)', searches),
    seed: int('of --metric random (default: 0)', 0),
    keep: layers('drop nothing of these layers'),
    samples: int('rows to choose on', 1, 32),
    rows: int('rows of each text to measure on', 1, 16),
    skipRows: int('rows of each --text to pass over, to measure other methods on the same ones', 0),
    length: int('tokens a row, at most the context of the model', 2, 1024),
    field: fieldOption,
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
  renamed: { texts: 'text', target: 'target' },
  examples: [
    ['sweep Llama-3.2-1B --calibration c4.jsonl --out sweep.json', 'the curve of all targets, saved point by point'],
    [
      'sweep Llama-3.2-1B --calibration c4.jsonl wiki.txt --text news.txt --text code.txt --targets attention --counts 2,4,6,8 --search greedy-kl --samples 4',
      'a search on mixed text, measured on two others',
    ],
    [
      'sweep Llama-3.2-1B --calibration c4.jsonl --out sweep.json --budget decode=0.8,kv=0.5',
      'and the command that makes the best model within a budget',
    ],
    ['sweep Llama-3.2-1B --calibration c4.jsonl --format csv > sweep.csv', 'for a spreadsheet'],
  ],
  run: async (o, ui) => {
    // Checked before anything is loaded; what does not depend on the target is the same for all.
    const [{ metric, search, seed, keep }] = o.targets.map((target) =>
      dropMethod({ ...o, target, count: Math.max(...o.counts) }),
    );
    const chosenBy = { metric, search, seed, keepLayers: [...keep].sort((a, b) => a - b) };
    const budgets = o.budget === undefined ? undefined : parseBudgets(o.budget);
    if (budgets?.some(({ kind }) => kind === 'decode') && o.speedRounds === 0)
      throw new UserError('--budget decode needs speeds, so --speed-rounds 0 does not go with it');
    if (o.resume && o.out === undefined) throw new UserError('--resume goes on from a file, so it needs --out');
    if (o.skipRows !== undefined && !o.text)
      throw new UserError('--skip-rows passes over rows of a --text, so it needs one');
    if (o.out !== undefined) await checkOutputFile(o.out);
    await using loaded = await loadTextModel(o.model, { ...loadOptionsOf(o), ...ui.job });
    const { model, tokenizer } = loaded;
    const context = model.config.maxPositionEmbeddings;
    const needed = (o.samples + o.rows) * Math.min(o.length, context);
    const rows = await sweepRows(watched(tokenizer, needed, ui.progress('tokenizing')), o.calibration, {
      ...o,
      heldOut: o.rows,
      texts: o.text,
      maxLength: context,
    });
    for (const note of rows.notes) ui.note(note);
    const fingerprint = await fingerprintOf({
      model,
      rows: {
        'calibration rows': rows.calibration,
        ...Object.fromEntries(rows.heldOut.map((held) => [`rows of ${held.name}`, held.rows])),
      },
      settings: { ...chosenBy, 'speed rounds': o.speedRounds },
      version,
    });
    const facts: Omit<SweepFile, keyof SweepState> = {
      schema: 'llm-drop/sweep/1',
      model: o.model,
      ...provenance(model),
      fingerprint,
      calibration: o.calibration,
      samples: rows.calibration.length,
      length: rows.length,
      ...chosenBy,
    };
    const { out } = o;
    const done = out === undefined ? undefined : await earlierState(out, fingerprint, o.resume, ui);
    const result = await runSweep(model, rows, {
      ...o,
      speed: o.speedRounds > 0,
      done,
      onChange: async (state) => {
        if (out !== undefined) await writeJson(out, { ...facts, ...state } satisfies SweepFile);
      },
      stage: (name) => ui.progress(name),
      signal: ui.signal,
    });
    const document: SweepDocument = {
      ...facts,
      ...result,
      notes: rows.notes,
      ...(budgets && { choice: chooseWithin(result, budgets, o.model) }),
    };
    if (out !== undefined) await writeJson(out, document);
    const chosen = choiceText(document, o.budget);
    if (o.format === 'csv') for (const line of chosen) ui.note(line);
    ui.show(document, (d) => [
      ...forms[o.format](d, ui.width),
      ...(chosen.length && o.format !== 'csv' ? ['', ...chosen] : []),
    ]);
  },
});

const forms: Record<Format, (result: SweepResult, width: number) => string[]> = {
  text: sweepText,
  markdown: sweepMarkdown,
  csv: sweepCsv,
};

/** What --out holds of this sweep. A file of another one is never written over. */
async function earlierState(
  path: string,
  fingerprint: Fingerprint,
  resume: boolean,
  ui: Ui,
): Promise<SweepState | undefined> {
  const there = await stat(path).catch(() => undefined);
  if (!there?.isFile()) {
    if (resume) throw new UserError(`${path} holds nothing to resume`);
    return undefined;
  }
  const file = (await readJson(path)) as Partial<SweepFile> | null;
  if (file?.schema !== 'llm-drop/sweep/1' || !file.fingerprint)
    throw new UserError(`${path} is there and no sweep: choose another --out`);
  const changed = fingerprintDifferences(file.fingerprint, fingerprint);
  if (changed.length)
    throw new UserError(`${path} is a sweep that differs from this one in ${changed.join(' and ')}`, {
      hint: 'choose another --out, or remove the file',
    });
  const { whole, importance, steps = {}, points = [] } = file;
  ui.note(`${path}: going on from ${points.length} points`);
  return { whole, importance, steps, points };
}

function chooseWithin(result: SweepResult, budgets: readonly Budget[], model: string): SweepDocument['choice'] {
  const point = withinBudget(result.points, result.whole, budgets);
  if (!point) return null;
  const budget = budgets.map(({ text }) => text).join(',');
  return { budget, point, command: dropCommand(model, point) };
}

/** The command line that writes a point's model. */
function dropCommand(model: string, { target, count, drops }: SweepPoint): string {
  const lists = [
    ...(drops.attention.length ? [`--drop-attn ${drops.attention.join(',')}`] : []),
    ...(drops.mlp.length ? [`--drop-mlp ${drops.mlp.join(',')}`] : []),
  ];
  const out = `${basename(resolve(model))}-${target}-${count}`;
  return ['llm-drop drop', quoted(model), ...lists, '--out', quoted(out)].join(' ');
}

/** As a shell takes it. */
const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`);

function choiceText({ choice }: SweepDocument, budget: string | undefined): string[] {
  if (choice === undefined) return [];
  if (choice === null) return [`nothing that was measured keeps to ${budget}`];
  const { point, command } = choice;
  return [
    `the smallest loss within ${choice.budget}: ${point.target} ${point.count}, loss ${point.loss.toFixed(4)}`,
    command,
  ];
}
