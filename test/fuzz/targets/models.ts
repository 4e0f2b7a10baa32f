/** Model folders: config, weights, index, quantization, in every form that they are read in. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeWeights, tensorOfBytes } from '../../../src/checkpoint/index.js';
import { createEngine, type Engine } from '../../../src/engine/index.js';
import { computeLogits } from '../../../src/evaluate/index.js';
import { families } from '../../../src/models/families/index.js';
import { loadModel, type PartialConfig } from '../../../src/models/index.js';
import { oneOfEachFamily, randomModel, type FolderModel } from '../../field/randomModel.js';
import { packedModel } from '../../field/packedModel.js';
import { fromFolder, within, type Files, type Target } from '../target.js';
import { tokenizerFiles } from './tokenizers.js';

const small: PartialConfig = {
  ...{ vocabSize: 40, hiddenSize: 32, intermediateSize: 32, numHiddenLayers: 2, numAttentionHeads: 2 },
  ...{ numKeyValueHeads: 1, headDim: 16, maxPositionEmbeddings: 64 },
};

/** The files of a model, in one file of weights or in shards. */
async function filesOf({ config, tensors }: FolderModel, shardBytes?: number): Promise<Files> {
  const list = [...tensors].map(([name, { dtype, shape, bytes }]) => tensorOfBytes(name, dtype, shape, bytes));
  const weights = await fromFolder({}, async (folder) =>
    (await writeWeights(folder, list, { shardBytes })).map((name) => [name, readFileSync(join(folder, name))] as const),
  );
  return { 'config.json': JSON.stringify({ ...config, ...scaling }), ...Object.fromEntries(weights) };
}

/** With keys of every kind, of which some must be there to be changed. */
const scaling = {
  ...{ drop_attn_list: [], drop_mlp_list: [1], bos_token_id: 1, eos_token_id: [2, 3], torch_dtype: 'float32' },
  ...{ layer_types: null, hidden_act: 'silu' },
};

const ofFamily = (type: string): Promise<FolderModel> =>
  randomModel({
    ...{ ...small, modelType: type },
    ...(families.find(({ types }) => types.includes(type))!.varies.includes('numLocalExperts')
      ? { numLocalExperts: 4, numExpertsPerTok: 2 }
      : {}),
  });

/** A folder of a tiny model of a type. */
export const modelFiles = async (type: string): Promise<Files> => filesOf(await ofFamily(type));

/** The same with a tokenizer, and a text beside the folder `model`. */
export const textModelFiles = async (): Promise<Files> => ({
  ...within('model', { ...(await modelFiles('llama')), ...tokenizerFiles }),
  'text.txt': 'the end of the story. '.repeat(20),
});

let engine: Engine | undefined;
let uses = 0;

/** Logits of a folder, on an engine that serves some hundred of them. */
export async function logitsOf(folder: string): Promise<Float32Array> {
  if (uses++ % 300 === 0) {
    engine?.dispose();
    engine = await createEngine('wasm', { threads: 1 });
  }
  await using model = await loadModel(folder, { engine });
  return (await computeLogits(model, [[1, 5, 2, 7]])).logits;
}

const rotations = [
  { rope_type: 'linear', rope_theta: 1e4, factor: 2 },
  {
    ...{ rope_type: 'llama3', rope_theta: 1e4, factor: 8, low_freq_factor: 1, high_freq_factor: 4 },
    original_max_position_embeddings: 32,
  },
  {
    ...{ rope_type: 'yarn', rope_theta: 1e4, factor: 4, original_max_position_embeddings: 16, beta_fast: 32 },
    ...{ beta_slow: 1, mscale: 1, mscale_all_dim: 1, truncate: true },
  },
];

export const modelTargets: readonly Target[] = [
  {
    name: 'config',
    share: 20,
    inputs: async () => [
      ...(await Promise.all(oneOfEachFamily().map(async ([, config]) => filesOf(await randomModel(config))))),
      ...(await Promise.all(
        rotations.map(async (rope_parameters) => {
          const model = await ofFamily('llama');
          return filesOf({ ...model, config: { ...model.config, rope_parameters } });
        }),
      )),
    ],
    changes: /^config\.json$/,
    read: logitsOf,
  },
  {
    name: 'safetensors',
    share: 15,
    inputs: async () => Promise.all(['llama', 'mixtral'].map(async (type) => filesOf(await ofFamily(type)))),
    changes: /\.safetensors$/,
    read: logitsOf,
  },
  {
    name: 'shards',
    share: 8,
    inputs: async () => [await filesOf(await ofFamily('llama'), 8000)],
    changes: /safetensors/,
    read: logitsOf,
  },
  {
    name: 'int4',
    share: 12,
    inputs: async () =>
      Promise.all(
        (['gptq', 'awq', 'compressed-tensors'] as const).map(async (method) => {
          const { model } = packedModel(await ofFamily('llama'), method);
          return filesOf(model);
        }),
      ),
    read: logitsOf,
  },
  {
    name: 'quantization files',
    share: 5,
    inputs: async () => {
      const { model } = packedModel(await ofFamily('llama'), 'gptq');
      const { quantization_config: said, ...config } = model.config;
      return [{ ...(await filesOf({ ...model, config })), 'quantize_config.json': JSON.stringify(said) }];
    },
    changes: /^quantize_config\.json$/,
    read: logitsOf,
  },
];
