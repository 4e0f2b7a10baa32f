import { basename } from 'node:path';
import {
  GgufFile,
  floatType,
  modelName,
  writeFileAtomically,
  writeGguf,
  type ModelSource,
} from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { hasExperts, isLlamaLike, type ModelDescription, type RopeParameters } from '../models/index.js';
import { holdsExactly, type ExportJob, type Written } from './exportJob.js';
import { cardBeside, type ExportType } from './exportOptions.js';
import { reducedPlan, zeroedPlan, type ExportPlan } from './exportPlan.js';
import { architectureOf } from './ggufArchitecture.js';
import { ggufMetadata } from './ggufMetadata.js';
import { ggufModel } from './ggufModel.js';
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
  const type = job.options.type ?? storedType(source) ?? ggufTypeOfDType[weights.dtype];
  const tokenizer = await ggufTokenizer(source.folder, config);
  const name = basename(modelName(source.folder));
  const metadata = { ...ggufMetadata(description, plan, { type, name }), ...tokenizer.metadata };
  const tensors = ggufTensors(weights, type, { asStored: job.options.type === undefined });
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
      const result = await provedResult(job, written, await ggufModel(file, job.engine, config.rope));
      const text = await modelCard(job.model, cardFacts(result, written), evidence);
      return { ...result, files: [basename(out), basename(card)], bytes: (await made.stat()).size, text };
    },
    { overwrite, placed: true },
  );
  await writeFileAtomically(card, (file) => file.writeFile(text), { overwrite: overwrite && 'own card', placed: true });
  return made;
}

/** The type whose blocks are the integers that a checkpoint stores. */
const storedType = ({ quantization }: ModelSource): ExportType | undefined =>
  quantization && (quantization.symmetric ? 'q4_0' : 'q4_1');

/** Modules are left out where `deci` can hold the others, and zeroed where it cannot. */
function planOf({ model: { config, description }, drops, options: { zero } }: ExportJob): ExportPlan {
  if (!zero && isLlamaLike(description)) return deciPlan(reducedPlan(config, drops, 'absent'));
  const reduced = zero ? undefined : reducedPlan(config, drops, 'zero');
  if (reduced && !unlike(description, reduced)) return reduced;
  const zeroed = zeroedPlan(config, drops);
  const taken = unlike(description, zeroed);
  if (taken)
    throw new UserError(
      `llama.cpp takes for granted of a ${description.conventions.gguf.architecture} ${taken}, so it would compute something else`,
      { hint: '`to` hf writes a folder' },
    );
  return zeroed;
}

/** What llama.cpp takes for granted of the layers of a plan, and these are not so. */
const unlike = (description: ModelDescription, { layers }: ExportPlan): string | undefined =>
  description.conventions.gguf.unlike?.(
    layers.map(({ original }) => description.layers[original]),
    description,
  );

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
