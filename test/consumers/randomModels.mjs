/** Tiny random models as Hugging Face folders, and what llm-drop computes of what it exports. */
import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const dist = process.env.LLM_DROP_DIST ?? fileURLToPath(new URL('../../dist', import.meta.url));
const load = (path) => import(pathToFileURL(join(dist, path)).href);

export const { createEngine, createBatch } = await load('engine/index.js');
export const { Model, loadModel, openModel } = await load('models/index.js');
const { allWeights, byTensor, describeConfig, ownForm, ownNames, randomParameters, tensorNames, uniform } =
  await load('models/index.js');
export const {
  GgufFile,
  joinedSource,
  loadTokenizer,
  namedSplits,
  openCheckpoint,
  rotaryOrdered,
  splitJson,
  splitName,
  tensorOfSource,
  writeSafetensors,
  writeWeights,
} = await load('checkpoint/index.js');
export const { rtn, writeQuantized } = await load('quant/index.js');
export const { exportModel } = await load('export/index.js');
export const { compensate, writeDropped } = await load('drop/index.js');
export const { dropExperts } = await load('jobs/index.js');

/** `torch_dtype` and the rest of a config.json, in the words of transformers v4. */
function rawConfig(c, architecture) {
  const { type, theta, ...scaling } = c.rope;
  const names = {
    factor: 'factor',
    lowFreqFactor: 'low_freq_factor',
    highFreqFactor: 'high_freq_factor',
    originalMaxPositions: 'original_max_position_embeddings',
    shortFactors: 'short_factor',
    longFactors: 'long_factor',
    attentionFactor: 'attention_factor',
  };
  return {
    architectures: [architecture],
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
    hidden_act: 'silu',
    rope_theta: theta,
    rope_scaling:
      type === 'default'
        ? null
        : {
            rope_type: type,
            ...Object.fromEntries(Object.entries(scaling).flatMap(([k, v]) => (names[k] ? [[names[k], v]] : []))),
          },
    tie_word_embeddings: c.tieWordEmbeddings,
    attention_bias: c.attentionBias,
    mlp_bias: c.mlpBias,
    ...(c.modelType === 'llama' ? {} : { sliding_window: c.slidingWindow ?? null }),
    ...(c.numLocalExperts === undefined
      ? {}
      : { num_local_experts: c.numLocalExperts, num_experts_per_tok: c.numExpertsPerTok }),
    torch_dtype: 'float32',
    bos_token_id: 1,
    eos_token_id: 2,
  };
}

/** Of the tokenizer of the fixtures, which every random model has. */
export const vocabSize = 320;

/** A folder of a random model, float32. Norms and biases are random too, so that each matters. */
export async function writeRandomModel(
  folder,
  partial,
  seed,
  tokenizerFolder = new URL('../fixtures/tokenizer/', import.meta.url),
) {
  const description = describeConfig(partial);
  const { config } = description;
  await mkdir(folder, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    await copyFile(new URL(name, tokenizerFolder), join(folder, name));
  await writeFile(
    join(folder, 'config.json'),
    JSON.stringify({ ...rawConfig(config, description.conventions.architecture), ...partial.familyKeys }),
  );
  const weights = allWeights(description);
  const parameters = randomParameters(weights, seed);
  const ownTensor = (weight) => ownForm(weight) && ownNames(weight)[0];
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

/** Logits [T, V] of a model that is not loaded. */
export async function allLogits(model, tokens) {
  await model.load();
  const scope = model.engine.scope();
  try {
    return await model.engine.readFloats(model.logits(model.forward(createBatch([tokens]))));
  } finally {
    scope.dispose();
    model.dispose();
  }
}

/** Logits [T, V] of a folder, as its weights are stored. */
export async function logitsOfFolder(engine, folder, tokens) {
  const model = await loadModel(folder, { engine });
  try {
    return await allLogits(model, tokens);
  } finally {
    await model.close();
  }
}

/** Logits [T, V] of what a GGUF file holds, decoded. */
export async function ggufLogits(engine, path, tokens) {
  const { description, source } = await openModel(path, { blocks: 'float32' });
  try {
    return await allLogits(new Model(engine, description, source), tokens);
  } finally {
    await source.close();
  }
}

export function softmax(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const exps = Array.from(logits, (x) => Math.exp(x - most));
  const sum = exps.reduce((a, b) => a + b, 0);
  return exps.map((x) => x / sum);
}

/** Random picks that are the same for the same seed. */
export function picker(seed) {
  const next = uniform(seed);
  return {
    of: (list) => list[Math.floor(next() * list.length)],
    chance: (share) => next() < share,
    int: (below) => Math.floor(next() * below),
  };
}
