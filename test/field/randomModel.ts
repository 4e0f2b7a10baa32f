/** Random models in memory, to be changed before they are written. */
import fc from 'fast-check';
import { modelConfigs } from '../../src/testing/index.js';
import { safetensorsBytes, type JsonObject, type SafetensorsDType } from '../../src/checkpoint/index.js';
import { decodeFloats, encodeFloats } from '../../src/engine/index.js';
import {
  allWeights,
  completeConfig,
  describeConfig,
  modelTypes,
  randomParameters,
  rawConfig,
  tensorNames,
  type PartialConfig,
} from '../../src/models/index.js';

/** A tensor as a file holds it. */
export interface Stored {
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A model folder in memory, to be changed before it is written. */
export interface FolderModel {
  config: JsonObject;
  tensors: Map<string, Stored>;
}

export const tiny: PartialConfig = {
  modelType: 'llama',
  vocabSize: 40,
  hiddenSize: 32,
  intermediateSize: 64,
  numHiddenLayers: 3,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  maxPositionEmbeddings: 64,
};
export const tinyMixture: PartialConfig = {
  ...tiny,
  modelType: 'mixtral',
  numKeyValueHeads: 4,
  numLocalExperts: 4,
  numExpertsPerTok: 2,
};

/** A model of random weights in float32, under the names of its files. */
export async function randomModel(partial: PartialConfig = tiny, seed = 1): Promise<FolderModel> {
  const weights = allWeights(describeConfig(partial));
  const parameters = randomParameters(weights, seed);
  const tensors = new Map<string, Stored>();
  for (const name of weights.flatMap(tensorNames)) {
    const source = parameters.source(name);
    const { shape } = source;
    const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
    tensors.set(name, { dtype: 'F32', shape, bytes: (await source.readRows(0, rows)).slice() });
  }
  return { config: { ...rawConfig(completeConfig(partial)), ...partial.familyKeys }, tensors };
}

/** Of each registered type one that its own keys vary, of two layers and forty tokens. */
export const oneOfEachFamily = (): (readonly [type: string, config: PartialConfig])[] =>
  modelTypes().map((type) => {
    const [config] = fc.sample(modelConfigs({ types: [type] }), { seed: 1, numRuns: 1 });
    return [type, { ...config, vocabSize: 40, numHiddenLayers: 2 }];
  });

export const copyOf = ({ config, tensors }: FolderModel): FolderModel => ({
  config: structuredClone(config),
  tensors: new Map(tensors),
});

export const f32 = (shape: readonly number[], values: ArrayLike<number>): Stored => ({
  dtype: 'F32',
  shape,
  bytes: new Uint8Array(Float32Array.from(values).buffer),
});

export const floatsOf = ({ bytes }: Stored): Float32Array => decodeFloats(bytes.slice(), 'float32');

export const asHalf = ({ shape, bytes }: Stored): Stored => ({
  dtype: 'F16',
  shape,
  bytes: encodeFloats(decodeFloats(bytes.slice(), 'float32'), 'float16'),
});

/** The same with zeros of a type and a shape. */
export const zeros = (dtype: SafetensorsDType, shape: readonly number[]): Stored => ({
  dtype,
  shape,
  bytes: new Uint8Array(shape.reduce((product, size) => product * size, safetensorsBytes[dtype])),
});
