import { sizeOf } from '../engine/index.js';
import type { Checkpoint } from '../checkpoint/index.js';
import type { ModelConfig } from './config.js';
import type { Drops } from './model.js';
import { placeOf, type ModuleKind, type WeightSpec } from './weightMap.js';

export interface ModelSize {
  readonly parameters: number;
  /** Of the weights, as the checkpoint stores them. */
  readonly bytes: number;
  /** Keys and values of one token, over all attending layers, in float32. */
  readonly kvBytesPerToken: number;
}

/** Whether a checkpoint's tensor belongs to a dropped module. */
export function isDropped(specs: readonly WeightSpec[], drops: Drops, tensor: string): boolean {
  const place = placeOf(specs, tensor);
  if (place?.layer === undefined) return false;
  return drops[place.spec.path.split('.')[0] as ModuleKind].includes(place.layer);
}

/** What remains of a checkpoint under these drops. Tensors that the model does not use do not count. */
export function modelSize(
  checkpoint: Checkpoint,
  config: ModelConfig,
  specs: readonly WeightSpec[],
  drops: Drops,
): ModelSize {
  const used = checkpoint.tensorNames().filter((name) => placeOf(specs, name) && !isDropped(specs, drops, name));
  const attending = config.numHiddenLayers - drops.attention.length;
  return {
    parameters: used.reduce((sum, name) => sum + sizeOf(checkpoint.info(name).shape), 0),
    bytes: used.reduce((sum, name) => sum + checkpoint.info(name).bytes, 0),
    kvBytesPerToken: attending * 2 * config.numKeyValueHeads * config.headDim * 4,
  };
}
