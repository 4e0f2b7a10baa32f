/**
 * Stock llama.cpp loads GGUF exports and computes what llm-drop computes: its whole next-token distribution at every
 * position. F32: within 2e-3 (its key-value cache is float16). Quantized: within 2e-2 of the decoded weights (it
 * quantizes activations to 8 bits).
 */
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { openLlama, probabilities } from './nextTokens.mjs';
import {
  allLogits,
  compensate,
  createEngine,
  dropExperts,
  exportModel,
  GgufFile,
  ggufLogits,
  loadModel,
  picker,
  rotaryOrdered,
  softmax,
  vocabSize,
  writeDropped,
  writeRandomModel,
} from './randomModels.mjs';

let llama, engine, folder;
before(async () => {
  llama = await openLlama();
  engine = await createEngine('wasm');
  folder = await mkdtemp(join(tmpdir(), 'llm-drop-consumers-'));
});
after(async () => {
  engine.dispose();
  await llama.dispose();
  await rm(folder, { recursive: true });
});

/** The largest difference of a probability at any position. */
async function compare(path, config, tokens) {
  const logits = await ggufLogits(engine, path, tokens);
  return difference(await probabilities(llama, path, tokens, config.vocabSize), logits, config.vocabSize);
}

function difference(theirs, logits, V) {
  let worst = 0;
  for (const [t, row] of theirs.entries()) {
    const ours = softmax(logits.subarray(t * V, (t + 1) * V));
    for (const [id, p] of ours.entries()) worst = Math.max(worst, Math.abs(p - row[id]));
  }
  return worst;
}

const theta = 10000;
const ropes = [
  { type: 'default', theta },
  { type: 'linear', theta, factor: 2 },
  { type: 'llama3', theta, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 64 },
];

/** What models of a type have of their own, in files that llama.cpp knows. */
const own = {
  mixtral: () => ({ numLocalExperts: 4, numExpertsPerTok: 2 }),
  // Its head is always the embedding.
  gemma2: ({ headDim }) => ({
    tieWordEmbeddings: true,
    slidingWindow: 5,
    familyKeys: { query_pre_attn_scalar: headDim },
  }),
  gemma3_text: ({ headDim }) => ({ slidingWindow: 5, familyKeys: { query_pre_attn_scalar: headDim } }),
  // Their heads are always as wide as the stream.
  phi3: ({ numAttentionHeads, headDim }) => ({ hiddenSize: numAttentionHeads * headDim }),
  olmo2: ({ numAttentionHeads, headDim }) => ({ tieWordEmbeddings: false, hiddenSize: numAttentionHeads * headDim }),
  granite: () => ({
    familyKeys: { embedding_multiplier: 6, attention_multiplier: 0.2, residual_multiplier: 0.3, logits_scaling: 0.25 },
  }),
  baichuan: ({ numAttentionHeads }) => ({ numKeyValueHeads: numAttentionHeads, familyKeys: { z_loss_weight: 0 } }),
};

/** As Phi-4-mini has it; a text of 12 tokens has long angles where the original length is 8. llama.cpp takes them for every text in a context of more than that, and its smallest has 256. */
const partial = (originalMaxPositions) => ({
  hiddenSize: 64,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
  headDim: 32,
  rope: {
    type: 'longrope',
    theta,
    shortFactors: Array.from({ length: 12 }, (_, k) => 1 + k / 8),
    longFactors: Array.from({ length: 12 }, (_, k) => 2 + k),
    originalMaxPositions,
    attentionFactor: 1.25,
  },
  familyKeys: { partial_rotary_factor: 0.75, original_max_position_embeddings: originalMaxPositions },
});

const forty = {
  tieWordEmbeddings: false,
  numHiddenLayers: 40,
  hiddenSize: 48,
  numAttentionHeads: 3,
  numKeyValueHeads: 3,
  headDim: 16,
};

function randomCase(seed, modelType) {
  const pick = picker(seed);
  const layers = 2 + pick.int(4);
  const group = pick.of([1, 2, 4]);
  const keyValueHeads = pick.of([1, 2]);
  const bias = modelType === 'llama' && pick.chance(0.5);
  const config = {
    modelType,
    vocabSize,
    hiddenSize: pick.of([32, 64, 96]),
    intermediateSize: pick.of([64, 160]),
    numHiddenLayers: layers,
    numAttentionHeads: keyValueHeads * group,
    numKeyValueHeads: keyValueHeads,
    headDim: pick.of([16, 32]),
    maxPositionEmbeddings: 128,
    tieWordEmbeddings: pick.chance(0.5),
    attentionBias: bias,
    mlpBias: bias,
    slidingWindow: modelType === 'mistral' && pick.chance(0.5) ? 64 : undefined,
    // llama.cpp knows Llama 3's scaling of the architecture llama alone.
    rope: pick.of(/^(llama|mistral|mixtral|baichuan)$/.test(modelType) ? ropes : ropes.slice(0, 2)),
  };
  Object.assign(config, own[modelType]?.(config));
  const some = (share) => Array.from({ length: layers }, (_, i) => i).filter(() => pick.chance(share));
  const blocks = some(0.2);
  const drops = { attention: [...new Set([...blocks, ...some(0.35)])], mlp: [...new Set([...blocks, ...some(0.35)])] };
  const rest = Array.from({ length: layers }, (_, i) => i).filter(
    (i) => !drops.attention.includes(i) || !drops.mlp.includes(i),
  );
  if (!rest.length) drops.mlp = drops.mlp.slice(1);
  return { config, drops, tokens: Array.from({ length: 12 }, () => pick.int(vocabSize)) };
}

const tolerance = { f32: 2e-3, f16: 2e-2, bf16: 2e-2, q8_0: 2e-2, q4_0: 2e-2, q4_1: 2e-2 };

async function check(name, modelType, seed, type, override = {}) {
  const { config, drops, tokens } = randomCase(seed, modelType);
  // Of a model whose name has `phi3` in it, llama.cpp wants tokens of certain names.
  const source = join(folder, `${name}-${modelType === 'phi3' ? 'fused' : modelType}-${seed}-${type}`);
  const full = await writeRandomModel(source, { ...config, ...override.config }, seed);
  const out = `${source}.gguf`;
  const result = await exportModel(source, {
    to: 'gguf',
    type,
    out,
    engine,
    drops: override.drops ?? drops,
    zero: override.zero,
  });
  const worst = await compare(out, full, tokens);
  const what = `${modelType} ${type} ${result.architecture} drops ${JSON.stringify(result.drop)} of ${full.numHiddenLayers}`;
  console.log(`${worst.toExponential(1)} ${what}`);
  assert.ok(worst <= tolerance[type], `${what}: off by ${worst}`);
}

/** Logits [T, V] of a model folder. */
async function folderLogits(path, tokens) {
  const model = await loadModel(path, { engine });
  try {
    return await allLogits(model, tokens);
  } finally {
    await model.close();
  }
}

/** What llama.cpp makes of a dropped model whose output projections were refit, and what we do. */
async function checkRefit(mode, seed) {
  const { config, tokens } = randomCase(seed, 'llama');
  const drops = { attention: [1, 2], mlp: [2] };
  const [source, plain, refit] = ['source', 'plain', 'refit'].map((name) => join(folder, `${mode}-${seed}-${name}`));
  await writeRandomModel(source, { ...config, numHiddenLayers: 4 }, seed);
  const pick = picker(seed);
  const rows = Array.from({ length: 8 }, () => Int32Array.from({ length: 32 }, () => pick.int(vocabSize)));
  const model = await loadModel(source, { engine });
  const made = await compensate(model, drops, rows, { mode });
  await writeDropped(model, drops, plain);
  await writeDropped(model, drops, refit, { replaced: (name) => made.weights.get(name) });
  await made[Symbol.asyncDispose]();
  await model.close();
  await exportModel(refit, { to: 'gguf', type: 'f32', out: `${refit}.gguf`, engine });
  const theirs = await probabilities(llama, `${refit}.gguf`, tokens, vocabSize);
  const off = difference(theirs, await folderLogits(refit, tokens), vocabSize);
  const moved = difference(theirs, await folderLogits(plain, tokens), vocabSize);
  const what = `${made.refits.length} projections refit (${mode})`;
  console.log(`${off.toExponential(1)} ${what}, ${moved.toExponential(1)} from the plain drop`);
  assert.ok(off <= tolerance.f32, `${what}: off by ${off}`);
  assert.ok(moved > 5 * tolerance.f32, `${what}: only ${moved} from the plain drop`);
}

/** A mixture that has lost some experts, in llama.cpp as here. */
async function checkExperts(modelType, familyKeys, seed) {
  const { config, tokens } = randomCase(seed, 'mixtral');
  const [source, fewer] = ['whole', 'fewer'].map((name) => join(folder, `${name}-${modelType}`));
  const { numAttentionHeads, headDim } = config;
  const heads = { hiddenSize: numAttentionHeads * headDim, numKeyValueHeads: numAttentionHeads };
  const mixture = { modelType, numLocalExperts: 5, tieWordEmbeddings: false, familyKeys };
  await writeRandomModel(source, { ...config, ...heads, ...mixture }, seed);
  await dropExperts(source, { count: 2, metric: 'random', seed, out: fewer, engine });
  await exportModel(fewer, { to: 'gguf', type: 'f32', out: `${fewer}.gguf`, engine });
  const theirs = await probabilities(llama, `${fewer}.gguf`, tokens, vocabSize);
  const off = difference(theirs, await folderLogits(fewer, tokens), vocabSize);
  console.log(`${off.toExponential(1)} ${modelType} without two of five experts`);
  assert.ok(off <= tolerance.f32, `${modelType}: off by ${off}`);
}

/** A copy of a GGUF file whose queries and keys are in Hugging Face's order. */
async function unpermuted(path, headDim) {
  const bytes = await readFile(path);
  const file = await GgufFile.open(path);
  for (const name of file.tensorNames().filter((name) => /attn_[qk]\.weight/.test(name))) {
    const right = file.source(name);
    const [rows] = right.shape;
    const place = bytes.indexOf(await file.encodedRows(name, 0, rows));
    bytes.set(await rotaryOrdered(right, headDim, 'halves').readRows(0, rows), place);
  }
  await file[Symbol.asyncDispose]();
  const out = path.replace('.gguf', '-wrong.gguf');
  await writeFile(out, bytes);
  return out;
}

describe('GGUF exports in llama.cpp', () => {
  it('queries and keys in the wrong order give other results, so that these tests see them', async () => {
    const { config, tokens } = randomCase(3, 'llama');
    const source = join(folder, 'wrong');
    const full = await writeRandomModel(source, config, 3);
    await exportModel(source, { to: 'gguf', type: 'f32', out: `${source}.gguf`, engine });
    const wrong = await unpermuted(`${source}.gguf`, full.headDim);
    const theirs = await probabilities(llama, wrong, tokens, vocabSize);
    const logits = await ggufLogits(engine, `${source}.gguf`, tokens);
    const off = difference(theirs, logits, vocabSize);
    console.log(`${off.toExponential(1)} un-permuted`);
    assert.ok(off > 5 * tolerance.f32, `off by ${off} only`);
  });

  for (const factor of [1, 4])
    it(`YaRN by ${factor}`, async () => {
      const attentionFactor = 0.1 * Math.log(factor) + 1;
      const rope = {
        type: 'yarn',
        theta,
        factor,
        originalMaxPositions: 64,
        attentionFactor,
        betaFast: 32,
        betaSlow: 1,
        truncate: true,
      };
      await check(`yarn ${factor}`, 'llama', 7, 'f32', { config: { rope, maxPositionEmbeddings: 256 } });
    });

  for (let seed = 1; seed <= 12; seed++)
    it(`llama, random drops ${seed}, f32`, () => check('llama', 'llama', seed, 'f32'));
  for (let seed = 21; seed <= 26; seed++)
    it(`mistral, random drops ${seed}, f32`, () => check('mistral', 'mistral', seed, 'f32'));
  for (let seed = 31; seed <= 36; seed++)
    it(`mixtral, random drops ${seed}, f32`, () => check('mixtral', 'mixtral', seed, 'f32'));
  for (let seed = 81; seed <= 84; seed++)
    it(`qwen3, random drops ${seed}, f32`, () => check('qwen3', 'qwen3', seed, 'f32'));
  it('qwen3 q8_0', () => check('qwen3', 'qwen3', 85, 'q8_0'));
  for (const [i, type] of [
    ...['qwen2', 'gemma2', 'gemma3_text', 'phi3', 'olmo2', 'smollm3', 'granite', 'baichuan'],
  ].entries()) {
    for (let seed = 91 + 4 * i; seed <= 93 + 4 * i; seed++)
      it(`${type}, random drops ${seed}, f32`, () => check('random', type, seed, 'f32'));
    it(`${type} q8_0`, () => check('random', type, 94 + 4 * i, 'q8_0'));
  }
  it('gemma3, seven layers, of which the sixth has no window, and a block is dropped', () =>
    check('seven', 'gemma3_text', 130, 'f32', {
      config: { numHiddenLayers: 7, rope: ropes[1] },
      drops: { attention: [1, 6], mlp: [1] },
    }));
  it('baichuan of 40 layers, which has linear biases', () =>
    check('forty', 'baichuan', 131, 'f32', {
      config: {
        ...forty,
        familyKeys: { max_position_embeddings: null, model_max_length: 128 },
      },
      drops: { attention: [1], mlp: [1, 3] },
    }));
  for (const original of [8, 512])
    it(`phi3 of partial rotation, longrope from ${original} tokens on`, () =>
      check(`longrope ${original}`, 'phi3', 132, 'f32', {
        config: { maxPositionEmbeddings: 1024, ...partial(original) },
      }));
  for (const [i, type] of ['f16', 'bf16', 'q8_0', 'q4_0', 'q4_1'].entries()) {
    it(`llama ${type}`, () => check('llama', 'llama', 41 + i, type));
    it(`mixtral ${type}`, () => check('mixtral', 'mixtral', 51 + i, type));
  }
  const expertKeys = {
    mixtral: {},
    qwen2_moe: { moe_intermediate_size: 24, shared_expert_intermediate_size: 40, norm_topk_prob: false },
    qwen3_moe: { moe_intermediate_size: 24, norm_topk_prob: true },
    deepseek: { moe_intermediate_size: 24, n_shared_experts: 2, first_k_dense_replace: 1 },
  };
  for (const [modelType, familyKeys] of Object.entries(expertKeys))
    it(`${modelType} without two experts of each layer`, () => checkExperts(modelType, familyKeys, 151));
  for (const mode of ['neighbour', 'all']) it(`a refit drop, ${mode}`, () => checkRefit(mode, 71));
  const whole = { layers: 4, config: { numHiddenLayers: 4 } };
  const edges = {
    'nothing dropped': { attention: [], mlp: [] },
    'attention of layer 0': { attention: [0], mlp: [] },
    'attention of the last layer': { attention: [3], mlp: [] },
    'MLP of the last layer': { attention: [], mlp: [3] },
    'MLP of layer 0, attention of all others': { attention: [1, 2, 3], mlp: [0] },
    'every attention': { attention: [0, 1, 2, 3], mlp: [] },
    'every MLP': { attention: [], mlp: [0, 1, 2, 3] },
    'the first and the last block': { attention: [0, 3], mlp: [0, 3] },
  };
  for (const [name, drops] of Object.entries(edges))
    for (const modelType of ['llama', 'mixtral'])
      it(`${modelType}: ${name}`, () => check(`edge ${name}`, modelType, 61, 'f32', { ...whole, drops }));
  it('llama with --zero', () =>
    check('zero', 'llama', 62, 'f32', { ...whole, drops: { attention: [0, 2], mlp: [2, 3] }, zero: true }));
});
