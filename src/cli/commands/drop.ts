import { readdir } from 'node:fs/promises';
import {
  dropReport,
  measureDrop,
  mergeDrops,
  openDropSource,
  parseImportance,
  scoreImportance,
  selectDrops,
  splitRows,
  targets,
  withoutDropped,
  writeDropped,
  type DropReport,
  type DropSource,
  type Importance,
  type LossReport,
  type SplitRows,
  type Target,
} from '../../drop/index.js';
import { UserError } from '../../engine/index.js';
import { checkedIndices, type Drops, type Model } from '../../models/index.js';
import { calibrationOptions, watched } from '../calibration.js';
import { command, dropsOf, type CommonValues, type Values } from '../command.js';
import { describeDrop } from '../dropText.js';
import { readJson } from '../jsonFiles.js';
import { loadForText } from '../loadForText.js';
import { choice, dropOptions, files, flag, int, layers, requiredText, text } from '../options.js';
import { version } from '../package.js';
import type { Ui } from '../ui.js';

const options = {
  out: requiredText('folder to write the smaller model to', 'dir'),
  target: choice<Target>('what to drop; joint ranks attentions and MLPs together', targets),
  count: int('how many of the target', 0),
  calibration: files('text to score on, and behind those rows to measure the loss on'),
  importance: text('scores from score --out in place of scoring again', 'file'),
  keep: layers('drop nothing of these layers'),
  ...dropOptions,
  ...calibrationOptions,
  heldOut: int('rows to measure the loss on', 1, 16),
  configOnly: flag('write config.json and the side files only, to lay over the original folder'),
  overwrite: flag('replace a model folder that is already there'),
};

type DropValues = Values<typeof options> & CommonValues & { readonly model: string };

export interface DropResult extends DropReport {
  readonly version: string;
  readonly model: string;
  readonly out: string;
  readonly target: Target | null;
  readonly count: number | null;
  readonly configOnly: boolean;
  readonly notes: readonly string[];
}

export const drop = command('drop', 'Write a model without its most redundant modules', {
  description:
    'Which modules go is decided by scores, made here on --calibration or read from --importance, or by explicit lists. ' +
    'What the model had dropped before stays dropped. With --calibration, the loss before and after is measured on rows ' +
    'that the scores have not seen. The folder appears complete or not at all.',
  options,
  examples: [
    ['drop Llama-3.2-1B --calibration c4.jsonl --target attention --count 4 --out smaller', 'score, drop, measure'],
    [
      'drop Llama-3.2-1B --importance importance.json --target joint --count 6 --keep 0,15 --out smaller',
      'from scores, the first and last layer kept whole',
    ],
    ['drop Llama-3.2-1B --drop-attn 10-13 --drop-mlp 12 --out smaller', 'these modules, whatever their scores'],
  ],
  run: async (o, ui) => {
    checkChoice(o);
    if (!o.overwrite) await checkVacant(o.out);
    const result = o.calibration ? await dropMeasured(o, o.calibration, ui) : await dropUnmeasured(o, ui);
    for (const note of result.notes) ui.note(note);
    ui.show(result, describeDrop);
  },
});

/** Scores where needed, measures the loss on held-out rows, writes. */
async function dropMeasured(o: DropValues, calibration: readonly string[], ui: Ui): Promise<DropResult> {
  await using loaded = await loadForText(o.model, { backend: o.backend, threads: o.threads }, ui);
  const { model, tokenizer } = loaded;
  const scores = o.importance === undefined ? undefined : await readScores(o.importance, model);
  const rows = await splitRows(
    watched(
      tokenizer,
      (o.samples + o.heldOut) * Math.min(o.length, model.config.maxPositionEmbeddings),
      ui.progress('tokenizing'),
    ),
    calibration,
    { ...o, ...scores?.seen, maxLength: model.config.maxPositionEmbeddings },
  );
  const drops = await chooseDrops(o, model, async () => scores?.importance ?? (await scoreRows(model, rows, ui)));
  const loss = rows.heldOut.length
    ? await measureDrop(model, drops, rows.heldOut, { onProgress: ui.progress('measuring'), signal: ui.signal })
    : undefined;
  return await write(o, model, drops, ui, loss, rows.notes);
}

/** Reads no weight but to copy it. */
async function dropUnmeasured(o: DropValues, ui: Ui): Promise<DropResult> {
  await using source = await openDropSource(o.model);
  const drops = await chooseDrops(o, source, async () => (await readScores(o.importance!, source)).importance);
  return await write(o, source, drops, ui, undefined, ['no loss is measured without --calibration']);
}

async function scoreRows(model: Model, rows: SplitRows, ui: Ui): Promise<Importance> {
  return scoreImportance(model, rows.calibration, { onProgress: ui.progress('scoring'), signal: ui.signal });
}

/** Scores from a file, and the rows of the text that they have seen. */
async function readScores(
  path: string,
  { config }: DropSource,
): Promise<{ importance: Importance; seen: { samples: number; length: number } }> {
  const document = await readJson(path);
  const importance = parseImportance(document, config.numHiddenLayers, path);
  const { drawnFrom } = document as { drawnFrom?: unknown };
  const samples = Number.isInteger(drawnFrom) ? Math.max(importance.samples, drawnFrom as number) : importance.samples;
  return { importance, seen: { samples, length: importance.length } };
}

/** All that will be dropped, what the model had dropped before included. */
async function chooseDrops(o: DropValues, { config }: DropSource, scores: () => Promise<Importance>): Promise<Drops> {
  const earlier = { attention: config.dropAttention, mlp: config.dropMlp };
  if (o.target === undefined) {
    const { attention, mlp } = dropsOf(o);
    return mergeDrops(earlier, {
      attention: checkedIndices(attention, config.numHiddenLayers, '--drop-attn'),
      mlp: checkedIndices(mlp, config.numHiddenLayers, '--drop-mlp'),
    });
  }
  return mergeDrops(
    earlier,
    selectDrops(withoutDropped(await scores(), earlier), o.target, o.count!, { keep: o.keep }),
  );
}

async function write(
  o: DropValues,
  source: DropSource,
  drops: Drops,
  ui: Ui,
  loss: LossReport | undefined,
  notes: readonly string[],
): Promise<DropResult> {
  const report = dropReport(source, drops, loss);
  await writeDropped(source, drops, o.out, { ...o, onProgress: ui.progress('writing') });
  return {
    version,
    model: o.model,
    out: o.out,
    target: o.target ?? null,
    count: o.count ?? null,
    configOnly: o.configOnly,
    ...report,
    notes,
  };
}

function checkChoice(o: DropValues): void {
  const explicit = o.dropAttn !== undefined || o.dropMlp !== undefined;
  if (
    explicit &&
    (o.target !== undefined || o.count !== undefined || o.importance !== undefined || o.keep !== undefined)
  )
    throw new UserError(
      '--drop-attn and --drop-mlp say what to drop, so --target, --count, --importance and --keep do not go with them',
    );
  if (explicit) return;
  if (o.target === undefined || o.count === undefined)
    throw new UserError('what to drop is not said', {
      hint: 'give --target and --count, or --drop-attn or --drop-mlp',
    });
  if (!o.calibration && o.importance === undefined)
    throw new UserError('choosing what to drop needs scores', {
      hint: 'give --calibration with a text, or --importance with the scores from llm-drop score --out',
    });
}

/** Fails before the work where the library would refuse the folder behind it. */
async function checkVacant(out: string): Promise<void> {
  const held = await readdir(out).catch(() => []);
  if (held.length)
    throw new UserError(`${out} exists and is not empty`, { hint: 'choose another folder, or give --overwrite' });
}
