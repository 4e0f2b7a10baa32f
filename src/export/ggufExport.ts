import { basename } from 'node:path';
import {
  GgufFile,
  floatType,
  modelName,
  takesInt8,
  writeFileAtomically,
  writeGguf,
  type ModelSource,
} from '../checkpoint/index.js';
import { UserError, type Int8Source } from '../engine/index.js';
import {
  Model,
  hasExperts,
  isLlamaLike,
  openModel,
  ropeFrequencies,
  type ModelDescription,
  type RopeParameters,
} from '../models/index.js';
import { holdsExactly, type ExportJob, type Written } from './exportJob.js';
import { cardBeside, type ExportType } from './exportOptions.js';
import { reducedPlan, zeroedPlan, type ExportPlan } from './exportPlan.js';
import { architectureOf, unlike } from './ggufArchitecture.js';
import { ggufMetadata } from './ggufMetadata.js';
import { deciPlan, ggufTensors, ggufTypeOfDType } from './ggufTensors.js';
import { ggufTokenizer } from './ggufTokenizer.js';
import { findEvidence, modelCard } from './modelCard.js';
import { proveTensors } from './proof.js';
import { cardFacts, provedResult, type ExportResult } from './provedResult.js';

/** A GGUF file for llama.cpp, and its card beside it; both appear when the file is proved. */
export async function exportGguf(job: ExportJob): Promise<ExportResult> {
  const { out, overwrite = false, onProgress } = job.options;
  const { source, config, description } = job.model;
  const evidence = await findEvidence(job.model, job.options);
  const plan = planOf(job);
  const weights = job.weights(plan);
  const type = job.options.type ?? (await storedType(source)) ?? ggufTypeOfDType[weights.dtype];
  const tokenizer = await ggufTokenizer(source, config);
  const name = basename(modelName(source.folder));
  const metadata = { ...ggufMetadata(description, plan, { type, name }), ...tokenizer.metadata };
  const tensors = await ggufTensors(weights, type, { asStored: job.options.type === undefined });
  const written: Written = {
    architecture: architectureOf(description, plan),
    plan,
    exact: tensors.every(({ type, source }) => holdsExactly(floatType(type), source.dtype)),
    notes: [
      ...planNotes(job, plan),
      ...tokenizer.notes,
      ...(description.conventions.gguf.windows ? [] : job.windowNotes()),
      ...stretchNotes(config.rope),
    ],
  };
  const card = cardBeside(out);
  const { text, ...made } = await writeFileAtomically(
    out,
    async (made, path) => {
      await writeGguf(made, metadata, tensors, (done, total) => onProgress?.(done, total, 'bytes'));
      await using file = await GgufFile.open(path);
      await proveTensors(file, tensors, onProgress);
      await using opened = await openModel(path, { blocks: 'float32' });
      checkRope(path, opened.description, description, plan);
      const result = await provedResult(job, written, new Model(job.engine, opened.description, opened.source));
      const text = await modelCard(job.model, cardFacts(result, written), evidence);
      return { ...result, files: [basename(out), basename(card)], bytes: (await made.stat()).size, text };
    },
    { overwrite, placed: true },
  );
  await writeFileAtomically(card, (file) => file.writeFile(text), { overwrite: overwrite && 'own card', placed: true });
  return made;
}

/** The type whose blocks are the integers that a checkpoint stores, or another GGUF file; undefined where there are none. */
async function storedType(source: ModelSource): Promise<ExportType | undefined> {
  const { quantization } = source;
  if (quantization) return quantization.symmetric ? 'q4_0' : 'q4_1';
  const names = source.tensorNames();
  const packed = names.find((name) => source.int4(name));
  const int4 = packed === undefined ? undefined : await source.int4(packed)!.int4();
  if (int4) return int4.format.minima ? 'q4_1' : 'q4_0';
  return names.some((name) => holdsBlocks(source.int8?.(name))) ? 'q8_0' : undefined;
}

const holdsBlocks = (int8: Int8Source | undefined): boolean => int8 !== undefined && takesInt8('Q8_0', int8);

/** Modules are left out where `deci` can hold the others, and zeroed where it cannot. */
function planOf({ model: { config, description }, drops, options: { zero } }: ExportJob): ExportPlan {
  if (!zero && isLlamaLike(description)) return deciPlan(reducedPlan(config, drops, 'absent'));
  const reduced = zero ? undefined : reducedPlan(config, drops, 'zero');
  if (reduced && !unlike(description, reduced)) return reduced;
  const zeroed = zeroedPlan(config, drops);
  const taken = unlike(description, zeroed);
  if (taken && !isLlamaLike(description))
    throw new UserError(
      `llama.cpp takes for granted of a ${description.conventions.gguf.architecture} ${taken}, which is not so here`,
      { hint: '`to` hf writes a folder' },
    );
  return zeroed;
}

/** Where rotary angles change with the length of a text. */
function stretchNotes(rope: RopeParameters): string[] {
  if (rope.type === 'dynamic')
    return [
      `llama.cpp does not stretch angles as texts grow, so the context is limited to ${rope.maxPositions} tokens`,
    ];
  if (rope.type === 'longrope')
    return [
      `llama.cpp takes the angles of long texts in every context of more than ${rope.originalMaxPositions} tokens, however short the text is`,
    ];
  return [];
}

function planNotes(
  { model: { config, description }, drops, options: { zero } }: ExportJob,
  { layers }: ExportPlan,
): string[] {
  if (layers[0].attention === 'absent')
    return ['layer 0 keeps a zero attn_output, without keys and values: llama.cpp cannot do without one there'];
  if (zero) return [];
  if (isLlamaLike(description))
    return layers[0].attention === 'zero'
      ? ['layer 0 keeps an attention with a zero attn_output: llama.cpp cannot do without any keys and values']
      : [];
  if (!layers.some(({ attention, mlp }) => attention === 'zero' || mlp === 'zero')) return [];
  const lacking = hasExperts(description)
    ? 'mixture of experts that lacks modules'
    : `${config.modelType} that lacks modules`;
  const kept =
    layers.length === config.numHiddenLayers && unlike(description, reducedPlan(config, drops, 'zero'))
      ? ', and knows layers by their numbers'
      : '';
  return [`llama.cpp has no ${lacking}${kept}, so their output projections are zero, and nothing is saved`];
}

/** What the file says of the angles must be what the model has: quantized weights would hide another way to stretch them. */
function checkRope(
  path: string,
  { layers: found }: ModelDescription,
  { layers }: ModelDescription,
  plan: ExportPlan,
): void {
  for (const [i, { original }] of plan.layers.entries()) {
    const [theirs, ours] = [found[i].attention, layers[original].attention].map(
      ({ rope, rotaryDim, headDim }) => rope && ropeFrequencies(rope, rotaryDim ?? headDim),
    );
    const off = ours?.inverse.findIndex((wanted, k) => !(Math.abs(theirs!.inverse[k] - wanted) <= 1e-5 * wanted)) ?? -1;
    if (off >= 0)
      throw new UserError(
        `${path}: rotary frequency ${off} of layer ${i} is ${theirs!.inverse[off]} when it is read back, expected ${ours!.inverse[off]}`,
      );
  }
}
