import { UserError } from '../engine/index.js';
import { isLlamaLike } from '../models/index.js';
import type { ExportJob, Written } from './exportJob.js';
import { dropWords, hasSubLayerDrops, reducedPlan, zeroedPlan, type ExportPlan } from './exportPlan.js';
import { folderTensors } from './folderTensors.js';
import { configText, plainConfig, writeCheckpoint } from './huggingFaceFolder.js';

/** A Hugging Face folder with an attention and an MLP in every layer: whole blocks are taken out, or all dropped modules zeroed. */
export async function writePlain(job: ExportJob, folder: string): Promise<Written> {
  const { source, config, description } = job.model;
  const plan = job.options.zero ? zeroedPlan(config, job.drops) : blocksAlone(job);
  const { tensors, keys, texts, packed } = await folderTensors(job, job.weights(plan).all());
  const text = configText({ ...plainConfig(source.config, description, plan, job.dtype), ...keys }, source.config);
  await writeCheckpoint(folder, source, { 'config.json': text, ...texts }, tensors, job.options.onProgress);
  return { architecture: config.modelType, plan, exact: job.isExact(plan), packed, notes: [] };
}

function blocksAlone({ model: { config, description }, drops, options: { to } }: ExportJob): ExportPlan {
  if (!hasSubLayerDrops(drops)) return reducedPlan(config, drops, 'absent');
  const others = isLlamaLike(description) ? `\`to\` ${to === 'hf' ? 'vllm or gguf' : 'gguf'} leaves them out; ` : '';
  throw new UserError(
    `a plain ${config.modelType} checkpoint has an attention and an MLP in every layer, but this model lacks ${dropWords(drops)}`,
    { hint: `\`zero\` keeps the layers and zeroes them, which any engine runs; ${others}\`to\` llm-drop lists them` },
  );
}
