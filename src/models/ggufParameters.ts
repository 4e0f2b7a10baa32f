import { rotaryOrdered, sliceSource, type GgufFile } from '../checkpoint/index.js';
import { UserError, type WeightSource } from '../engine/index.js';
import { allWeights, type ModelDescription } from './description.js';
import type { Parameters } from './parameters.js';
import { storedSource } from './madeWeight.js';
import { fusedGgufName, ggufName, tensorNames, type WeightSpec } from './weights.js';

/** A GGUF file's tensors as floats, under the names and in the order of a Hugging Face checkpoint. */
export function ggufParameters(file: GgufFile, description: ModelDescription): Parameters {
  const sources = new Map<string, () => WeightSource>();
  for (const weight of allWeights(description)) {
    const fused = fusedGgufName(weight);
    if (!file.has(fused ?? ggufName(weight))) continue;
    const held = (): WeightSource =>
      fused === undefined ? file.source(ggufName(weight)) : partOf(file.source(fused), weight);
    const source = (): WeightSource => storedSource(inOrder(held(), description, weight), weight);
    const rows = weight.use === 'experts' ? weight.shape[1] : 0;
    for (const [expert, name] of tensorNames(weight).entries())
      sources.set(name, rows ? () => sliceSource(source(), expert * rows, (expert + 1) * rows, name) : source);
  }
  return {
    folder: file.path,
    has: (name) => sources.has(name),
    source: (name) => {
      const source = sources.get(name);
      if (!source) throw new UserError(`${file.path} has no tensor for ${name}`);
      return source();
    },
  };
}

/** Its rows of a tensor that holds several weights. */
function partOf(source: WeightSource, weight: WeightSpec): WeightSource {
  const { from, to } = weight.forms.find(({ gguf }) => gguf)!;
  return sliceSource(source, from, to, tensorNames(weight)[0]);
}

/** Rows that rotate, put back where llama.cpp's converter moved them. */
const inOrder = (source: WeightSource, { layers, conventions }: ModelDescription, weight: WeightSpec): WeightSource =>
  weight.rotates && conventions.gguf.rotaryPairs
    ? rotaryOrdered(source, layers[weight.layer!].attention.headDim, 'halves')
    : source;
