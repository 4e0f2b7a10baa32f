import type { JsonObject, TensorToWrite } from '../checkpoint/index.js';
import { sideConfigs } from '../quant/index.js';
import type { ExportJob } from './exportJob.js';
import { floatTensors } from './huggingFaceFolder.js';
import { packedTensors } from './packedTensors.js';
import type { PlannedWeight } from './plannedWeights.js';

/** A folder's weights, and what its config and files beside it say of packed ones. */
export interface FolderTensors {
  readonly tensors: readonly TensorToWrite[];
  readonly keys: JsonObject;
  readonly texts: Readonly<Record<string, string>>;
  readonly packed: boolean;
}

/** Weights as they came if no type is asked for: integers as integers. */
export async function folderTensors(
  { model: { source, description }, dtype }: ExportJob,
  weights: readonly PlannedWeight[],
): Promise<FolderTensors> {
  const { quantization } = source;
  const packed = quantization && !dtype ? await packedTensors(weights, description, source, quantization) : undefined;
  return packed
    ? {
        tensors: packed.tensors,
        keys: { quantization_config: packed.config },
        texts: sideConfigs(packed.config),
        packed: true,
      }
    : { tensors: floatTensors(weights, dtype), keys: {}, texts: {}, packed: false };
}
