import { rotaryOrdered, sliceSource, type GgufFile } from '../checkpoint/index.js';
import { UserError, type WeightSource } from '../engine/index.js';
import { allWeights, type ModelDescription } from './description.js';
import type { Parameters } from './parameters.js';
import { ggufName, tensorNames, type WeightSpec } from './weights.js';

/** A GGUF file's tensors as floats, under the names and in the order of a Hugging Face checkpoint. */
export function ggufParameters(file: GgufFile, description: ModelDescription): Parameters {
  const sources = new Map<string, () => WeightSource>();
  for (const weight of allWeights(description)) {
    if (!file.has(ggufName(weight))) continue;
    const source = (): WeightSource => inOrder(file.source(ggufName(weight)), description, weight);
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

/** Rows that rotate, put back where llama.cpp's converter moved them. */
const inOrder = (source: WeightSource, { layers, conventions }: ModelDescription, weight: WeightSpec): WeightSource =>
  weight.rotates && conventions.gguf.rotaryPairs
    ? rotaryOrdered(source, layers[weight.layer!].attention.headDim, 'halves')
    : source;
