import { sliceSource, type ModelSource } from '../checkpoint/index.js';
import { bytesPerElement, sizeOf, type Shape } from '../engine/index.js';
import {
  fusedNames,
  tensorNames,
  tensorPlaces,
  weightSource,
  type Parameters,
  type Place,
  type WeightSpec,
} from '../models/index.js';

/**
 * A checkpoint under the first names of its weight map, as files of 4-bit integers have them: experts are a tensor
 * each, and `gate` is apart from `up`, also where a newer file holds all of them in one tensor.
 */
export function separateExperts(parameters: Parameters, weights: readonly WeightSpec[]): Parameters {
  const places = tensorPlaces(weights);
  const inFused = (tensor: string): Place | undefined => placeInFused(parameters, places.get(tensor), tensor);
  return {
    folder: parameters.folder,
    has: (tensor) => parameters.has(tensor) || inFused(tensor) !== undefined,
    source: (tensor) => {
      const place = parameters.has(tensor) ? undefined : inFused(tensor);
      if (!place) return parameters.source(tensor);
      const { weight, expert } = place;
      const source = weightSource(parameters, weight);
      if (expert === undefined) return { ...source, name: tensor };
      const rows = weight.shape[1];
      return sliceSource(source, expert * rows, (expert + 1) * rows, tensor);
    },
  };
}

/** The weight that a tensor's first name stands for, where a fused tensor holds it. */
const placeInFused = (parameters: Parameters, place: Place | undefined, tensor: string): Place | undefined =>
  place && fusedNames(place.weight).some((name) => name !== tensor && parameters.has(name)) ? place : undefined;

/** The tensors of a checkpoint by their names in `separateExperts`. */
export function separateNames(weights: readonly WeightSpec[], tensors: readonly string[]): string[] {
  const held = new Map<string, string[]>();
  for (const weight of weights)
    for (const fused of fusedNames(weight)) held.set(fused, [...(held.get(fused) ?? []), ...tensorNames(weight)]);
  return tensors.flatMap((tensor) => held.get(tensor) ?? [tensor]);
}

/** Shape and bytes of a tensor by its name in `separateExperts`. */
export function separateInfo(
  checkpoint: ModelSource,
  separate: Parameters,
  tensor: string,
): { readonly shape: Shape; readonly bytes: number } {
  if (checkpoint.has(tensor)) return checkpoint.info(tensor);
  const { shape, dtype } = separate.source(tensor);
  return { shape, bytes: sizeOf(shape) * bytesPerElement[dtype] };
}
