import { sliceSource, type Checkpoint } from '../checkpoint/index.js';
import { bytesPerElement, sizeOf, type Shape } from '../engine/index.js';
import { placeOf, tensorNames, weightSource, type Parameters, type WeightSpec } from '../models/index.js';

const fusedName = (spec: WeightSpec, layer?: number): string | undefined =>
  spec.fused && tensorNames({ ...spec, name: spec.fused.name }, layer)[0];

/**
 * A checkpoint under the first names of its weight map, which are those of files of 4-bit integers: what newer files of
 * floats hold in one tensor for all experts is one tensor an expert, `gate` apart from `up`.
 */
export const separateExperts = (parameters: Parameters, specs: readonly WeightSpec[]): Parameters => ({
  folder: parameters.folder,
  has: (tensor) => parameters.has(tensor) || placeInFused(parameters, specs, tensor) !== undefined,
  source: (tensor) => {
    const place = parameters.has(tensor) ? undefined : placeInFused(parameters, specs, tensor);
    if (!place) return parameters.source(tensor);
    const { spec, layer, expert } = place;
    const source = weightSource(parameters, spec, layer);
    if (expert === undefined) return { ...source, name: tensor };
    const rows = spec.shape[1];
    return sliceSource(source, expert * rows, (expert + 1) * rows, tensor);
  },
});

/** The weight that a tensor's first name stands for, where a fused tensor holds it. */
function placeInFused(
  parameters: Parameters,
  specs: readonly WeightSpec[],
  tensor: string,
): ReturnType<typeof placeOf> {
  const place = placeOf(specs, tensor);
  const fused = place && fusedName(place.spec, place.layer);
  return fused !== undefined && fused !== tensor && parameters.has(fused) ? place : undefined;
}

/** The tensors of a checkpoint by their names in `separateExperts`. */
export const separateNames = (specs: readonly WeightSpec[], tensors: readonly string[]): string[] =>
  tensors.flatMap((tensor) => {
    const layer = placeOf(specs, tensor)?.layer;
    const held = specs.filter((spec) => fusedName(spec, layer) === tensor);
    return held.length ? held.flatMap((spec) => tensorNames(spec, layer)) : [tensor];
  });

/** Shape and bytes of a tensor by its name in `separateExperts`. */
export function separateInfo(
  checkpoint: Checkpoint,
  separate: Parameters,
  tensor: string,
): { readonly shape: Shape; readonly bytes: number } {
  if (checkpoint.has(tensor)) return checkpoint.info(tensor);
  const { shape, dtype } = separate.source(tensor);
  return { shape, bytes: sizeOf(shape) * bytesPerElement[dtype] };
}
