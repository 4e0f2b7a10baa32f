import { join } from 'node:path';
import { loadTokenizer, readJsonObject } from '../../checkpoint/index.js';
import {
  compensationLoss,
  dropRecordFile,
  dropReport,
  lossReport,
  methodRecord,
  openDropSource,
  sweepRows,
  writeDropped,
  type CompensationRecord,
  type DropRecord,
  type DropSource,
  type HeldOutText,
} from '../../drop/index.js';
import { createEngine, UserError } from '../../engine/index.js';
import {
  Model,
  defaultMaxMemory,
  familyOf,
  fitsMemory,
  tensorNames,
  type Drops,
  type ModelConfig,
} from '../../models/index.js';
import { watched } from '../../jobs/watchedTokenizer.js';
import { calibrationOptions } from '../calibration.js';
import { command, type CommonValues, type Values } from '../command.js';
import {
  alphaOption,
  compensateFromProgress,
  compensationModes,
  lossesOf,
  modeWords,
  refuseInt4,
} from '../compensation.js';
import { describeCompensation } from '../compensationText.js';
import { choice, files, flag, int, requiredFiles, requiredText, text } from '../options.js';
import { version } from '../package.js';
import { provenance } from '../../jobs/provenance.js';
import { size } from '../scale.js';
import type { Ui } from '../ui.js';
import { checkVacant } from '../../jobs/vacant.js';

const options = {
  out: requiredText('folder to write the refit model to', 'dir'),
  base: text('the whole model, where the folder does not hold the weights of what was dropped', 'dir'),
  mode: choice(modeWords, compensationModes, 'all'),
  alpha: alphaOption,
  calibration: requiredFiles('text to fit on'),
  ...calibrationOptions,
  text: files('texts to measure the loss on, each for itself (default: the calibration text, behind its rows)'),
  heldOut: int('rows of each text to measure the loss on', 1, 16),
  maxMemory: size('memory to stay under, e.g. 2GB (default: 80% of the machine)'),
  overwrite: flag('replace a model folder that is already there'),
};

type CompensateValues = Values<typeof options> & CommonValues & { readonly model: string };

/** What was written to the folder as `drop_report.json`, and where. */
interface CompensateResult extends DropRecord {
  readonly compensation: CompensationRecord;
  readonly out: string;
  readonly notes: readonly string[];
}

export const compensate = command('compensate', 'Give back part of what dropped modules did', {
  description:
    'Output projections that stay (o_proj, down_proj) are refit in closed form, so that on the calibration rows the ' +
    'residual stream comes near the whole model’s. The model keeps its size and its format: whatever reads it reads ' +
    'the result. It says what came back on rows that the fit did not see. An interrupted run leaves its progress beside ' +
    '--out, and the same command line continues it.',
  options,
  renamed: { texts: 'text' },
  examples: [
    [
      'compensate smaller --base Llama-3.2-1B --calibration c4.jsonl --samples 16 --length 512 --out refit',
      'a folder that drop has written',
    ],
    [
      'compensate smaller --base Llama-3.2-1B --calibration c4.jsonl wiki.txt --text c4.jsonl wiki.txt --samples 16 --length 512 --out refit',
      'fitted on a mix, measured on each text',
    ],
  ],
  run: async (o, ui) => {
    refuseInt4(o);
    if (!o.overwrite) await checkVacant(o.out);
    const result = await refitFolder(o, ui);
    for (const note of result.notes) ui.note(note);
    ui.show(result, ({ compensation, out }) => [...describeCompensation(compensation), `${out}: written`]);
  },
});

async function refitFolder(o: CompensateValues, ui: Ui): Promise<CompensateResult> {
  await using dropped = await openDropSource(o.model);
  await using base = await openDropSource(o.base ?? o.model);
  const drops = { attention: dropped.config.dropAttention, mlp: dropped.config.dropMlp };
  checkModels(o, dropped, base, drops);
  // Without --base, nothing is dropped of the whole model that lies in the same folder.
  const config = o.base === undefined ? { ...base.config, dropAttention: [], dropMlp: [] } : base.config;
  const tokenizer = await loadTokenizer(o.model);
  const maxLength = config.maxPositionEmbeddings;
  const { calibration, heldOut, length, notes } = await sweepRows(
    watched(tokenizer, o.samples * Math.min(o.length, maxLength), ui.progress('tokenizing')),
    o.calibration,
    { ...o, texts: o.text, maxLength },
  );
  using engine = await createEngine(o.backend, { threads: o.threads, v8Flags: true });
  using whole = new Model(engine, config, familyOf(config, o.model), base.checkpoint);
  const memory = { bytes: o.maxMemory ?? defaultMaxMemory(), rowLength: length };
  const texts: readonly HeldOutText[] = fitsMemory(whole, memory) ? heldOut : [];
  const found = texts.length ? notes : [...notes, 'no loss is measured: the weights do not fit in memory at once'];

  const earlier = { attention: config.dropAttention, mlp: config.dropMlp };
  const weights = o.base === undefined ? undefined : dropped.checkpoint;
  const before = await lossesOf(whole, base.checkpoint, earlier, texts, ui);
  const after = await lossesOf(whole, dropped.checkpoint, drops, texts, ui);
  const job = { ...o, whole, weights, drops, rows: calibration, maxMemory: memory.bytes };
  const { compensation, finished } = await compensateFromProgress(job, ui);
  await using refits = compensation;
  const refit = await lossesOf(whole, refits.weights.over(dropped.checkpoint), drops, texts, ui);

  const record: DropRecord & { compensation: CompensationRecord } = {
    ...(await recordOf(o, dropped, drops)),
    loss: before.length ? lossReport(before[0], refit[0]) : undefined,
    compensation: {
      mode: refits.mode,
      alpha: refits.alpha,
      calibration: { files: o.calibration, samples: calibration.length, length },
      refits: refits.refits,
      leftAlone: refits.leftAlone,
      losses: texts.map(({ name }, i) => compensationLoss(name, before[i], after[i], refit[i])),
    },
  };
  const { backend, tier } = provenance(whole);
  const report = {
    ...record,
    version,
    date: new Date().toISOString(),
    versions: { ...record.versions, 'llm-drop': version, node: process.versions.node, backend, tier },
  };
  await writeDropped(dropped, drops, o.out, {
    overwrite: o.overwrite,
    target: record.target ?? undefined,
    report,
    replaced: (name) => refits.weights.get(name),
    onProgress: ui.progress('writing'),
  });
  await finished();
  return { ...report, out: o.out, notes: found };
}

/** How the dropped model came about, where its folder says so. */
async function recordOf(o: CompensateValues, source: DropSource, drops: Drops): Promise<DropRecord> {
  const found = await readJsonObject(join(source.checkpoint.folder, dropRecordFile));
  if (found?.schema === 'llm-drop/drop-report/1') return found as unknown as DropRecord;
  return {
    schema: 'llm-drop/drop-report/1',
    version,
    date: '',
    model: o.base ?? o.model,
    ...dropReport(source, drops),
    ...methodRecord(undefined),
    calibration: null,
    versions: {},
  };
}

/** Fails before the work where there is nothing to give back, or the two models are not of one kind. */
function checkModels(o: CompensateValues, dropped: DropSource, base: DropSource, drops: Drops): void {
  const count = drops.attention.length + drops.mlp.length;
  if (count === 0)
    throw new UserError(`${o.model} has dropped nothing, so there is nothing to give back`, {
      hint: 'llm-drop drop writes a model without some modules, and refits it with --compensate',
    });
  if (o.base === undefined) {
    const missing = missingTensor(dropped, drops);
    if (missing !== undefined)
      throw new UserError(`${o.model} does not hold ${missing}, which was dropped: a refit aims at what it did`, {
        hint: 'name the whole model with --base',
      });
    return;
  }
  const differs = differences(dropped.config, base.config);
  if (differs.length)
    throw new UserError(`${o.model} did not come from ${o.base}: they differ in ${differs.join(', ')}`);
  const { dropAttention, dropMlp } = base.config;
  if (dropAttention.some((i) => !drops.attention.includes(i)) || dropMlp.some((i) => !drops.mlp.includes(i)))
    throw new UserError(`${o.base} has dropped modules that ${o.model} has not`);
}

function missingTensor({ specs, checkpoint }: DropSource, drops: Drops): string | undefined {
  for (const spec of specs)
    for (const kind of ['attention', 'mlp'] as const) {
      if (!spec.path.startsWith(`${kind}.`)) continue;
      for (const layer of drops[kind]) {
        const names = tensorNames(spec, layer);
        const fused = spec.fused && tensorNames({ ...spec, name: spec.fused.name }, layer);
        const held = [names, ...(fused ? [fused] : [])].some((form) => form.every((name) => checkpoint.has(name)));
        if (!held) return names[0];
      }
    }
  return undefined;
}

/** What of a config does not decide shapes and arithmetic. */
const incidental = ['dropAttention', 'dropMlp', 'dtype', 'bosTokenId', 'eosTokenIds', 'maxPositionEmbeddings'];

const differences = (a: ModelConfig, b: ModelConfig): string[] =>
  (Object.keys({ ...a, ...b }) as (keyof ModelConfig)[]).filter(
    (key) => !incidental.includes(key) && JSON.stringify(a[key]) !== JSON.stringify(b[key]),
  );
