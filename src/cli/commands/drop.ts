import {
  chooseByScores,
  chooseDrops,
  chooseWithoutText,
  dropMethod,
  compensationLoss,
  dropReport,
  lossReport,
  lossesAround,
  mergeDrops,
  methodRecord,
  needsText,
  openDropSource,
  parseImportance,
  splitRows,
  targets,
  writeDropped,
  type CalibrationRecord,
  type Choice,
  type CompensationMode,
  type CompensationRecord,
  type DropMethod,
  type DropRecord,
  type DropSource,
  type Importance,
  type LossReport,
  type SplitRows,
  type Target,
  type WriteDroppedOptions,
} from '../../drop/index.js';
import { createEngine, UserError } from '../../engine/index.js';
import type { LossResult } from '../../evaluate/index.js';
import { checkedIndices, type Drops, type LoadedModel, type Model } from '../../models/index.js';
import { watched } from '../../jobs/watchedTokenizer.js';
import { calibrationOptions } from '../calibration.js';
import { command, dropsOf, loadOptionsOf, type CommonValues, type Values } from '../command.js';
import {
  alphaOption,
  compensateFromProgress,
  compensationModes,
  lossesOf,
  modeWords,
  refuseInt4,
} from '../compensation.js';
import { givenFlags, methodOptions, methodRequest, refuseFlags } from '../dropOptions.js';
import { describeDrop } from '../dropText.js';
import { readJson } from '../../jobs/jsonFiles.js';
import { loadTextModel } from '../../jobs/textModel.js';
import { choice, dropOptions, files, flag, int, layers, requiredText, text } from '../options.js';
import { version } from '../package.js';
import { provenance } from '../../jobs/provenance.js';
import { openSearch } from '../searchProgress.js';
import type { Ui } from '../ui.js';
import { checkVacant } from '../../jobs/vacant.js';

const options = {
  out: requiredText('folder to write the smaller model to', 'dir'),
  target: choice<Target>('what to drop; joint ranks attentions and MLPs together', targets),
  count: int('how many of the target', 0),
  calibration: files('text to score on, and behind those rows to measure the loss on'),
  importance: text('scores from score --out in place of scoring again', 'file'),
  keep: layers('drop nothing of these layers'),
  ...methodOptions,
  ...dropOptions,
  ...calibrationOptions,
  heldOut: int('rows to measure the loss on', 1, 16),
  compensate: choice(modeWords, compensationModes),
  alpha: alphaOption,
  configOnly: flag('write config.json and the side files only, to lay over the original folder'),
  overwrite: flag('replace a model folder that is already there'),
};

type DropValues = Values<typeof options> & CommonValues & { readonly model: string };

/** What was written to the folder as `drop_report.json`, and where. */
export interface DropResult extends DropRecord {
  readonly out: string;
  readonly configOnly: boolean;
  readonly notes: readonly string[];
}

export const drop = command('drop', 'Write a model without its most redundant modules', {
  description:
    'Which modules go is decided by scores, made here on --calibration or read from --importance, by a greedy --search ' +
    'on --calibration, or by explicit lists. What the model had dropped before stays dropped. With --calibration, the loss before and after is measured on rows ' +
    'that the scores have not seen. The folder appears complete or not at all.',
  options,
  examples: [
    ['drop Llama-3.2-1B --calibration c4.jsonl --target attention --count 4 --out smaller', 'score, drop, measure'],
    [
      'drop Llama-3.2-1B --importance importance.json --target joint --count 6 --keep 0,15 --out smaller',
      'from scores, the first and last layer kept whole',
    ],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl --target block --count 4 --consecutive --out smaller',
      'the four blocks in a row whose ends are most alike',
    ],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl wiki.txt --samples 4 --search greedy-kl --target attention --count 4 --out smaller',
      'one by one, by what their absence does to the output',
    ],
    ['drop Llama-3.2-1B --drop-attn 10-13 --drop-mlp 12 --out smaller', 'these modules, whatever their scores'],
    [
      'drop Llama-3.2-1B --calibration c4.jsonl --samples 16 --length 512 --target attention --count 4 --compensate all --out smaller',
      'what stays is refit to do part of what went',
    ],
  ],
  run: async (o, ui) => {
    checkChoice(o);
    checkCompensation(o);
    if (!o.overwrite) await checkVacant(o.out);
    const result = o.calibration ? await dropMeasured(o, o.calibration, ui) : await dropUnmeasured(o, ui);
    for (const note of result.notes) ui.note(note);
    ui.show(result, describeDrop);
  },
});

/** What decided, beside the modules themselves. */
interface Decision extends Choice {
  /** To be called when the folder is there. */
  readonly written?: () => Promise<void>;
  readonly method?: DropMethod;
  readonly calibration?: CalibrationRecord;
}

/** Scores or searches where needed, measures the loss on held-out rows, writes. */
async function dropMeasured(o: DropValues, calibration: readonly string[], ui: Ui): Promise<DropResult> {
  const method = methodOf(o);
  await using loaded = await loadTextModel(o.model, {
    ...loadOptionsOf({ ...o, dropAttn: undefined, dropMlp: undefined }),
    ...ui.job,
  });
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
  const decision = method
    ? scores
      ? { ...chooseByScores(scores.importance, method, model.drops), method }
      : await chooseOnText(model, method, rows, calibration, o.out, ui)
    : namedModules(o, model);
  const losses = rows.heldOut.length
    ? await lossesAround(model, decision.drops, rows.heldOut, {
        onProgress: ui.progress('measuring'),
        signal: ui.signal,
      })
    : undefined;
  if (o.compensate) return await writeRefit(o, o.compensate, model, decision, { losses, rows, files: calibration }, ui);
  const loss = losses && lossReport(losses.before, losses.after);
  return await write(o, model, decision, ui, { loss, notes: rows.notes, model });
}

/** Refits what stays before it writes; the loss is then that of the refit model. */
async function writeRefit(
  o: DropValues,
  mode: CompensationMode,
  model: LoadedModel,
  decision: Decision,
  measured: {
    losses?: { readonly before: LossResult; readonly after: LossResult };
    rows: SplitRows;
    files: readonly string[];
  },
  ui: Ui,
): Promise<DropResult> {
  const { losses, rows, files } = measured;
  const { drops } = decision;
  model.dispose(); // its memory is for the fit, which loads one module at a time
  const job = { whole: model, drops, rows: rows.calibration, mode, alpha: o.alpha, out: o.out };
  const { compensation, finished } = await compensateFromProgress(job, ui);
  await using refits = compensation;
  const texts = losses ? [{ name: 'held out', rows: rows.heldOut }] : [];
  const [refit] = await lossesOf(model, refits.weights.over(model.parameters), drops, texts, ui);
  const record: CompensationRecord = {
    mode,
    alpha: refits.alpha,
    calibration: { files, samples: rows.calibration.length, length: rows.length },
    refits: refits.refits,
    leftAlone: refits.leftAlone,
    losses: losses ? [compensationLoss('held out', losses.before, losses.after, refit)] : [],
  };
  const written = async (): Promise<void> => {
    await decision.written?.();
    await finished();
  };
  return await write(o, model, { ...decision, written }, ui, {
    loss: losses && lossReport(losses.before, refit),
    notes: rows.notes,
    model,
    compensation: { record, replaced: (name) => refits.weights.get(name) },
  });
}

/** Reads no weight but to copy it, or as Gate-Norm looks at it. */
async function dropUnmeasured(o: DropValues, ui: Ui): Promise<DropResult> {
  const method = methodOf(o);
  await using source = await openDropSource(o.model);
  const decision = method ? await chooseUnmeasured(o, source, method) : namedModules(o, source);
  return await write(o, source, decision, ui, { notes: ['no loss is measured without --calibration'] });
}

async function chooseOnText(
  model: Model,
  method: DropMethod,
  rows: SplitRows,
  files: readonly string[],
  out: string,
  ui: Ui,
): Promise<Decision> {
  const search = method.search === 'score' ? undefined : await openSearch(model, method, rows.calibration, out, ui);
  const choice = await chooseDrops(model, rows.calibration, method, {
    ...search?.options,
    onProgress: ui.progress(search ? 'searching' : 'scoring'),
    signal: ui.signal,
  });
  const { length } = rows;
  return {
    ...choice,
    method,
    calibration: needsText(method) ? { files, samples: rows.calibration.length, length } : undefined,
    written: search && (() => search.finished()),
  };
}

async function chooseUnmeasured(o: DropValues, source: DropSource, method: DropMethod): Promise<Decision> {
  const earlier = earlierDrops(source);
  if (o.importance !== undefined) {
    const { importance } = await readScores(o.importance, source);
    return { ...chooseByScores(importance, method, earlier), method };
  }
  using engine = await createEngine(o.backend, { threads: o.threads, v8Flags: true });
  const { config, specs, checkpoint } = source;
  return {
    ...(await chooseWithoutText({ engine, config, specs, parameters: checkpoint, drops: earlier }, method)),
    method,
  };
}

/** Scores from a file, and the rows of the text that they have seen. */
async function readScores(
  path: string,
  { config }: DropSource,
): Promise<{ importance: Importance; seen?: { samples: number; length: number } }> {
  const document = await readJson(path);
  const importance = parseImportance(document, config.numHiddenLayers, path);
  if (importance.samples === 0) return { importance };
  const { drawnFrom } = document as { drawnFrom?: unknown };
  const samples = Number.isInteger(drawnFrom) ? Math.max(importance.samples, drawnFrom as number) : importance.samples;
  return { importance, seen: { samples, length: importance.length } };
}

const earlierDrops = ({ config }: DropSource): Drops => ({ attention: config.dropAttention, mlp: config.dropMlp });

/** All that will be dropped, what the model had dropped before included. */
function namedModules(o: DropValues, source: DropSource): Decision {
  const { attention, mlp } = dropsOf(o);
  const { numHiddenLayers } = source.config;
  const drops = mergeDrops(earlierDrops(source), {
    attention: checkedIndices(attention, numHiddenLayers, '--drop-attn'),
    mlp: checkedIndices(mlp, numHiddenLayers, '--drop-mlp'),
  });
  return { drops };
}

/** What goes into the folder beside the decision. */
interface Written {
  readonly loss?: LossReport;
  readonly notes: readonly string[];
  readonly model?: Model;
  readonly compensation?: {
    readonly record: CompensationRecord;
    readonly replaced: WriteDroppedOptions['replaced'];
  };
}

async function write(
  o: DropValues,
  source: DropSource,
  { drops, importance, rounds, steps, method, calibration, written }: Decision,
  ui: Ui,
  { loss, notes, model, compensation }: Written,
): Promise<DropResult> {
  const record: DropRecord = {
    schema: 'llm-drop/drop-report/1',
    version,
    date: new Date().toISOString(),
    model: o.model,
    ...dropReport(source, drops, loss),
    ...methodRecord(method, o.importance === undefined ? undefined : importance?.metric),
    calibration: calibration ?? null,
    compensation: compensation?.record,
    importance,
    rounds,
    steps,
    versions: { 'llm-drop': version, node: process.versions.node, ...(model && measuredBy(model)) },
  };
  const { replaced } = compensation ?? {};
  await writeDropped(source, drops, o.out, { ...o, report: record, replaced, onProgress: ui.progress('writing') });
  await written?.();
  return { ...record, out: o.out, configOnly: o.configOnly, notes };
}

function measuredBy(model: Model): Record<string, string> {
  const { backend, tier } = provenance(model);
  return { backend, tier };
}

/** undefined where the modules are named. */
const methodOf = (o: DropValues): DropMethod | undefined =>
  o.target === undefined ? undefined : dropMethod(methodRequest(o.target, o.count!, o));

function checkCompensation(o: DropValues): void {
  if (!o.compensate) {
    if (o.alpha !== undefined) throw new UserError('--alpha says how --compensate refits, which is not given');
    return;
  }
  refuseInt4(o);
  if (!o.calibration)
    throw new UserError('a refit is fitted on a text', { hint: 'give --calibration beside --compensate' });
  if (o.configOnly) throw new UserError('--compensate writes weights, so --config-only does not go with it');
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
  const given = givenFlags(o, ['metric', 'search', 'iterations', 'consecutive', 'compat', 'seed']);
  if (explicit) return refuseFlags('--drop-attn or --drop-mlp says what to drop', given);
  if (o.target === undefined || o.count === undefined)
    throw new UserError('what to drop is not said', {
      hint: 'give --target and --count, or --drop-attn or --drop-mlp',
    });
  const method = dropMethod(methodRequest(o.target, o.count, o));
  if (o.importance !== undefined)
    refuseFlags(
      '--importance holds scores that were made before',
      givenFlags(o, ['metric', 'search', 'iterations', 'seed']),
    );
  else if (!o.calibration && method.search !== 'score')
    throw new UserError(`--search ${method.search} needs --calibration with a text`);
  else if (!o.calibration && needsText(method))
    throw new UserError('choosing what to drop needs scores', {
      hint: 'give --calibration with a text, or --importance with the scores from llm-drop score --out',
    });
}
