import { ProgressFile, fingerprintOf } from '../../calibrate/index.js';
import { int4Methods, loadTokenizer } from '../../checkpoint/index.js';
import { openDropSource, sweepRows, type DropSource, type HeldOutText } from '../../drop/index.js';
import { UserError, createEngine } from '../../engine/index.js';
import { Model, defaultMaxMemory, familyOf, fitsMemory } from '../../models/index.js';
import {
  checkQuantizable,
  projectionTensors,
  quantizeLoss,
  quantizeMethods,
  quantizeModel,
  quantizeRecordFile,
  quantizedSize,
  randomInt4,
  writeQuantized,
  type GroupOptions,
  type QuantizeModelOptions,
  type QuantizeRecord,
  type QuantizeState,
} from '../../quant/index.js';
import { watched } from '../../jobs/watchedTokenizer.js';
import { fieldOption } from '../calibration.js';
import { command, type CommonValues, type Values } from '../command.js';
import { lossesOf } from '../compensation.js';
import { choice, files, flag, int, number, requiredText, type Option } from '../options.js';
import { version } from '../package.js';
import { provenance } from '../../jobs/provenance.js';
import { describeQuantization, type QuantizeResult } from '../quantizeText.js';
import { size } from '../scale.js';
import type { Ui } from '../ui.js';
import { checkVacant } from '../../jobs/vacant.js';

const groupSizeOption: Option<GroupOptions['groupSize']> = {
  ...int('weights along a row that share a scale: 32, 64, 128, or -1 for the row', -1, 128),
  default: 128,
  parse: (given, name) => {
    const found = ([32, 64, 128, -1] as const).find((one) => String(one) === given.trim());
    if (found === undefined) throw new UserError(`${name} must be 32, 64, 128 or -1, found '${given}'`);
    return found;
  },
};

const options = {
  out: requiredText('folder to write the quantized model to', 'dir'),
  method: choice('how weights are rounded', quantizeMethods, 'gptq'),
  format: choice('the files’ layout', int4Methods, 'compressed-tensors'),
  groupSize: groupSizeOption,
  symmetric: flag('no zero points (the default of gptq and compressed-tensors)'),
  clip: choice('of rtn and gptq: whether each range is cut where that errs less', ['none', 'search'] as const, 'none'),
  damping: number('of gptq: added to the diagonal, as a share of its mean', 0.01),
  expertFloor: int('tokens that must visit an expert to calibrate it on them alone', 1, 128),
  calibration: files('text to calibrate on, for gptq and awq'),
  samples: int('rows to calibrate on', 1, 128),
  length: int('tokens a row, at most the context of the model', 2, 512),
  field: fieldOption,
  text: files('texts to measure the loss on, each for itself (default: the calibration text, behind its rows)'),
  heldOut: int('rows of each text to measure the loss on', 1, 16),
  quantizeHead: flag('the output projection too, rounded to nearest'),
  maxMemory: size('memory that measuring the loss may take, e.g. 2GB (default: 80% of the machine)'),
  overwrite: flag('replace a model folder that is already there'),
};

type QuantizeValues = Values<typeof options> & CommonValues & { readonly model: string };

export const quantize = command('quantize', 'Write a model with weights in 4 bits', {
  description:
    'Projections become integers of 4 bits in groups along a row, after dropping if any was dropped. gptq and awq look ' +
    'at a text to lose less. The folder loads in transformers and vLLM, and in every command here. An interrupted run ' +
    'leaves its progress beside --out, and the same command line continues it.',
  options,
  renamed: { texts: 'text', head: 'quantizeHead' },
  examples: [
    ['quantize Llama-3.2-1B --calibration c4.jsonl --out int4', 'GPTQ in groups of 128, as compressed-tensors'],
    ['quantize smaller --method awq --format awq --calibration c4.jsonl --out int4', 'AWQ, of a dropped model'],
    ['quantize Llama-3.2-1B --method rtn --group-size 32 --out int4', 'rounded to nearest, without a text'],
  ],
  run: async (o, ui) => {
    checkValues(o);
    if (!o.overwrite) await checkVacant(o.out);
    const result = await quantizeFolder(o, ui);
    for (const note of result.notes) ui.note(note);
    ui.show(result, describeQuantization);
  },
});

async function quantizeFolder(o: QuantizeValues, ui: Ui): Promise<QuantizeResult> {
  await using source = await openDropSource(o.model);
  const { checkpoint, config, specs } = source;
  using engine = await createEngine(o.backend, { threads: o.threads, v8Flags: true });
  using model = new Model(engine, config, familyOf(config, o.model), checkpoint);
  const groups = { groupSize: o.groupSize, symmetric: isSymmetric(o), clip: o.clip };
  checkShapes(source, model, groups, o);

  const { calibration, heldOut, length, notes } = await rowsOf(o, model, ui);
  const drops = model.drops;
  const before = await lossesOf(model, checkpoint, drops, heldOut, ui);
  const { damping, expertFloor, method } = o;
  const settings = { ...groups, method, damping, expertFloor, head: o.quantizeHead };
  const progress = await openProgress(o, model, calibration, settings, ui);
  await using quantized = await quantizeModel(model, calibration, {
    ...settings,
    progress,
    onProgress: ui.progress('quantizing'),
    signal: ui.signal,
  });
  const after = await lossesOf(model, quantized.parameters, drops, heldOut, ui);
  const { backend, tier } = provenance(model);
  const record: QuantizeRecord = {
    schema: 'llm-drop/quantize-report/1',
    version,
    date: new Date().toISOString(),
    model: o.model,
    method,
    format: o.format,
    ...groups,
    calibration: calibration.length ? { files: o.calibration!, samples: calibration.length, length } : null,
    drop: drops,
    ...quantizedSize(checkpoint, specs, drops, quantized.replaced, groups),
    losses: before.map((loss, i) => quantizeLoss(heldOut[i].name, loss, after[i])),
    projections: quantized.results,
    warnings: quantized.warnings,
    versions: { 'llm-drop': version, node: process.versions.node, backend, tier },
  };
  await writeQuantized(checkpoint, o.out, {
    format: o.format,
    ...groups,
    replaced: quantized.replaced,
    algorithm: { quantizer: `llm-drop:${version}`, dampPercent: damping, actOrder: method === 'gptq' },
    files: { [quantizeRecordFile]: record },
    overwrite: o.overwrite,
    onProgress: ui.progress('writing'),
  });
  await progress.remove();
  return { ...record, out: o.out, notes: [...notes, ...quantized.warnings] };
}

/** Files of AWQ have zero points in any case; vLLM runs the others symmetric only. */
const isSymmetric = ({ symmetric, asymmetric, format }: QuantizeValues): boolean =>
  symmetric || (!asymmetric && format !== 'awq');

function checkValues(o: QuantizeValues): void {
  if (o.int4) throw new UserError('quantize makes its own int4 weights, so --int4 does not go with it');
  if (o.symmetric && o.asymmetric) throw new UserError('--symmetric and --asymmetric exclude each other');
  if (o.method !== 'rtn' && !o.calibration)
    throw new UserError(`--method ${o.method} needs --calibration with a text`, {
      hint: '--method rtn looks at none',
    });
  if (o.method === 'awq' && o.clip === 'search')
    throw new UserError('awq cuts ranges by a search of its own, so --clip does not go with it');
  if (!(o.damping > 0 && o.damping < 1)) throw new UserError(`--damping must be between 0 and 1, found ${o.damping}`);
}

/** Fails before the work where the format cannot hold what comes of it. */
function checkShapes({ checkpoint, specs }: DropSource, model: Model, groups: GroupOptions, o: QuantizeValues): void {
  const head = specs.find(({ path }) => path === 'head');
  if (o.quantizeHead && !head)
    throw new UserError("the model's output projection is its embedding, which the formats hold as floats only", {
      hint: 'leave --quantize-head out',
    });
  const tensors = new Set([...projectionTensors(model), ...(o.quantizeHead ? [head!.name] : [])]);
  const { groupSize, symmetric } = groups;
  checkQuantizable(checkpoint, {
    format: o.format,
    groupSize,
    symmetric,
    replaced: (name, shape) =>
      tensors.has(name)
        ? randomInt4(name, shape, { groupSize: groupSize === -1 ? 128 : groupSize, symmetric })
        : undefined,
  });
}

interface Rows {
  readonly calibration: readonly Int32Array[];
  readonly heldOut: readonly HeldOutText[];
  readonly length: number;
  readonly notes: readonly string[];
}

/** Rows to calibrate on and, where all weights fit in memory, to measure on. */
async function rowsOf(o: QuantizeValues, model: Model, ui: Ui): Promise<Rows> {
  const given = o.calibration ?? o.text;
  if (!given) return { calibration: [], heldOut: [], length: 0, notes: ['no loss is measured without --text'] };
  const maxLength = model.config.maxPositionEmbeddings;
  const length = Math.min(o.length, maxLength);
  const found = await sweepRows(
    watched(await loadTokenizer(o.model), (o.samples + o.heldOut) * length, ui.progress('tokenizing')),
    given,
    { ...o, texts: o.text, maxLength },
  );
  const rows = { ...found, calibration: o.method === 'rtn' ? [] : found.calibration };
  if (fitsMemory(model, { bytes: o.maxMemory ?? defaultMaxMemory(), rowLength: length })) return rows;
  return {
    ...rows,
    heldOut: [],
    notes: [...found.notes, 'no loss is measured: the weights do not fit in memory at once'],
  };
}

async function openProgress(
  { out }: QuantizeValues,
  model: Model,
  calibration: readonly Int32Array[],
  settings: Partial<QuantizeModelOptions>,
  ui: Ui,
): Promise<ProgressFile<QuantizeState>> {
  const progress = await ProgressFile.open<QuantizeState>(
    `${out.replace(/[/\\]+$/, '')}.quantize.progress`,
    await fingerprintOf({ model, rows: { 'calibration tokens': calibration }, settings: { ...settings }, version }),
  );
  ui.note(progress.changed);
  if (progress.previous) ui.note(`continuing behind ${progress.previous.layers} layers`);
  return progress;
}
