import { sizeOf } from '../engine/index.js';
import { allWeights, type ModelDescription } from './description.js';
import type { Drops } from './drops.js';
import type { TensorList } from './held.js';
import { tensorPlaces, type WeightSpec } from './weights.js';

export interface ModelSize {
  readonly parameters: number;
  /** Of the weights, as the checkpoint stores them. */
  readonly bytes: number;
  /** Keys and values of one token, over all attending layers, in float32. */
  readonly kvBytesPerToken: number;
}

/** Whether a weight belongs to a dropped module. */
export const isDropped = (drops: Drops, { module, layer }: WeightSpec): boolean =>
  module !== undefined && drops[module].includes(layer!);

/** The tensors of a checkpoint that stay under these drops; those that the model does not know stay, too. */
export function stayingTensors(description: ModelDescription, drops: Drops, tensors: readonly string[]): string[] {
  const places = tensorPlaces(allWeights(description));
  return tensors.filter((name) => {
    const place = places.get(name);
    return !place || !isDropped(drops, place.weight);
  });
}

/** What remains of a checkpoint under these drops. Tensors that the model does not use do not count. */
export function modelSize(checkpoint: TensorList, description: ModelDescription, drops: Drops): ModelSize {
  const places = tensorPlaces(allWeights(description));
  const used = checkpoint
    .tensorNames()
    .filter((name) => places.has(name) && !isDropped(drops, places.get(name)!.weight));
  return {
    parameters: used.reduce((sum, name) => sum + sizeOf(checkpoint.info(name).shape), 0),
    bytes: used.reduce((sum, name) => sum + checkpoint.info(name).bytes, 0),
    kvBytesPerToken: kvBytesPerToken(description, drops, 4),
  };
}

/** Bytes of one token's keys and values over the layers that attend, `elementBytes` a number. */
export const kvBytesPerToken = ({ layers }: ModelDescription, drops: Drops, elementBytes: number): number =>
  layers
    .filter((_, layer) => !drops.attention.includes(layer))
    .reduce((sum, { attention: { keyValueHeads, headDim } }) => sum + 2 * keyValueHeads * headDim * elementBytes, 0);
