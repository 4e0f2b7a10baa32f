import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import { createBatch, createEngine, type Engine } from '../../../src/engine/index.js';
import {
  joinedSource,
  openCheckpoint,
  stackedSource,
  tensorOfSource,
  writeWeights,
  type JsonObject,
  type ModelSource,
} from '../../../src/checkpoint/index.js';
import {
  Model,
  allWeights,
  byTensor,
  describeConfig,
  describeModel,
  loadModel,
  ownForm,
  ownNames,
  randomParameters,
  tensorNames,
  type Drops,
  type ModelConfig,
  type PartialConfig,
  type WeightSpec,
} from '../../../src/models/index.js';

const tokenizer = fileURLToPath(new URL('../../fixtures/tokenizer', import.meta.url));

/** A temporary folder and an engine for the tests of a file. */
export function workplace(): { readonly folder: (name?: string) => string; readonly engine: () => Engine } {
  let root: string;
  let engine: Engine;
  let count = 0;
  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), 'llm-drop-export-'));
    engine = await createEngine('wasm');
  });
  afterAll(async () => {
    engine.dispose();
    await rm(root, { recursive: true });
  });
  return { folder: (name = 'model') => join(root, `${name}-${count++}`), engine: () => engine };
}

const ropeNames: Readonly<Record<string, string>> = {
  factor: 'factor',
  lowFreqFactor: 'low_freq_factor',
  highFreqFactor: 'high_freq_factor',
  originalMaxPositions: 'original_max_position_embeddings',
  attentionFactor: 'attention_factor',
  betaFast: 'beta_fast',
  betaSlow: 'beta_slow',
  truncate: 'truncate',
  shortFactors: 'short_factor',
  longFactors: 'long_factor',
};

/** As transformers v4 writes it. */
export function rawConfig(c: ModelConfig): JsonObject {
  const { type, theta, ...scaling } = c.rope;
  const scalingKeys = Object.entries(scaling).flatMap(([key, value]) =>
    ropeNames[key] ? [[ropeNames[key], value]] : [],
  );
  return {
    architectures: [`${c.modelType[0].toUpperCase()}${c.modelType.slice(1)}ForCausalLM`],
    model_type: c.modelType,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numHiddenLayers,
    num_attention_heads: c.numAttentionHeads,
    num_key_value_heads: c.numKeyValueHeads,
    head_dim: c.headDim,
    max_position_embeddings: c.maxPositionEmbeddings,
    rms_norm_eps: c.rmsNormEps,
    rope_theta: theta,
    rope_scaling: type === 'default' ? null : { rope_type: type, ...Object.fromEntries(scalingKeys) },
    tie_word_embeddings: c.tieWordEmbeddings,
    attention_bias: c.attentionBias,
    mlp_bias: c.mlpBias,
    sliding_window: c.slidingWindow ?? null,
    ...(c.numLocalExperts === undefined
      ? {}
      : { num_local_experts: c.numLocalExperts, num_experts_per_tok: c.numExpertsPerTok }),
    torch_dtype: 'float32',
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** Writes a model of random weights; with 320 tokens of the vocabulary, with the tokenizer of the fixtures. */
export async function writeRandomFolder(
  folder: string,
  partial: PartialConfig,
  o: { seed?: number; extra?: JsonObject } = {},
): Promise<ModelConfig> {
  const description = describeConfig(partial);
  const { config } = description;
  await mkdir(folder, { recursive: true });
  if (config.vocabSize === 320)
    for (const name of ['tokenizer.json', 'tokenizer_config.json'])
      await copyFile(join(tokenizer, name), join(folder, name));
  const raw = { ...rawConfig(config), ...partial.familyKeys, ...o.extra };
  await writeFile(join(folder, 'config.json'), JSON.stringify(raw));
  const weights = allWeights(description);
  const parameters = randomParameters(weights, o.seed ?? 1);
  const ownTensor = (weight: WeightSpec): string | undefined => ownForm(weight) && ownNames(weight)[0];
  await writeWeights(
    folder,
    byTensor(weights, ownTensor).flatMap(({ tensor, items }) => {
      const sources = items.flatMap(tensorNames).map((name) => parameters.source(name));
      return tensor === undefined
        ? sources.map((source) => tensorOfSource(source))
        : [tensorOfSource(joinedSource(sources, tensor))];
    }),
  );
  return config;
}

/** The mixture of a folder with its experts as transformers v5 names them: in two tensors a layer, gate above up. */
export async function writeFused(folder: string, out: string, extra: JsonObject = {}): Promise<void> {
  await using checkpoint = await openCheckpoint(folder);
  const { config } = describeModel(checkpoint.config, checkpoint.folder);
  await writeRandomFolder(out, config, { extra });
  const experts = Array.from({ length: config.numLocalExperts! }, (_, expert) => expert);
  const stacked = (names: readonly string[]): ReturnType<typeof stackedSource> =>
    stackedSource(names.map((name) => checkpoint.source(name)));
  const mixture = (layer: number): ReturnType<typeof tensorOfSource>[] => {
    const [from, to] = [`model.layers.${layer}.block_sparse_moe`, `model.layers.${layer}.mlp`];
    const gateUp = stacked(experts.flatMap((e) => ['w1', 'w3'].map((which) => `${from}.experts.${e}.${which}.weight`)));
    const shape = [experts.length, 2 * config.intermediateSize, config.hiddenSize];
    return [
      tensorOfSource(checkpoint.source(`${from}.gate.weight`), `${to}.gate.weight`),
      tensorOfSource({ ...gateUp, shape }, `${to}.experts.gate_up_proj`),
      tensorOfSource(stacked(experts.map((e) => `${from}.experts.${e}.w2.weight`)), `${to}.experts.down_proj`),
    ];
  };
  const others = checkpoint.tensorNames().filter((name) => !name.includes('block_sparse_moe'));
  await writeWeights(out, [
    ...others.map((name) => checkpoint.raw(name)),
    ...Array.from({ length: config.numHiddenLayers }, (_, layer) => mixture(layer)).flat(),
  ]);
}

/** Logits [T, V]; the model is loaded for it and freed. */
export async function logitsOf(model: Model, tokens: readonly number[]): Promise<Float32Array> {
  using _scope = model.engine.scope();
  await model.load();
  try {
    return await model.engine.readFloats(model.logits(model.forward(createBatch([tokens]))));
  } finally {
    model.dispose();
  }
}

export async function folderLogits(
  engine: Engine,
  folder: string,
  tokens: readonly number[],
  drops: Partial<Drops> = {},
): Promise<Float32Array> {
  await using model = await loadModel(folder, { engine, drops });
  return await logitsOf(model, tokens);
}

/** A model of another config on the weights of a folder. */
export const modelOn = (engine: Engine, source: ModelSource, config: PartialConfig): Model =>
  new Model(engine, describeConfig(config), source);
