import type { ExportJob, Written } from './exportJob.js';
import { reducedPlan } from './exportPlan.js';
import { folderTensors } from './folderTensors.js';
import { writeCheckpoint } from './huggingFaceFolder.js';
import {
  configModule,
  configModuleText,
  nemotronConfig,
  nemotronPlan,
  nemotronText,
  nemotronWeights,
  paddedWidth,
} from './nemotronNas.js';

/** The architecture's name, in `model_type`. */
export const nemotronArchitecture = 'nemotron-nas';

/** A folder for vLLM, whose layers lack the dropped modules. */
export async function writeNemotron(job: ExportJob, folder: string): Promise<Written> {
  const { source, config, description } = job.model;
  const plan = nemotronPlan(reducedPlan(config, job.drops, 'absent'));
  const { tensors, keys, texts, packed } = await folderTensors(job, nemotronWeights(job.weights(plan)));
  const written = { ...nemotronConfig(source.config, description, plan, job.dtype), ...keys };
  const files = {
    'config.json': nemotronText(written, source.config),
    [configModule]: configModuleText,
    ...texts,
  };
  await writeCheckpoint(folder, source, files, tensors, job.options.onProgress);
  const width = paddedWidth(config);
  return {
    architecture: nemotronArchitecture,
    plan,
    exact: job.isExact(plan),
    packed,
    remoteCode: true,
    notes: [
      ...(plan.layers[0].attention === 'zero'
        ? ['layer 0 keeps an attention with a zero output projection: vLLM cannot do without one there']
        : []),
      ...(width === config.intermediateSize
        ? []
        : [`MLPs are padded with zeros from ${config.intermediateSize} to ${width}, a multiple of 256`]),
      ...job.windowNotes(),
    ],
  };
}
