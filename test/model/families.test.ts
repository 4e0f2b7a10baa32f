/**
 * What is done to a model, once for each dense family: written without what is dropped, exported, quantized by every
 * method, refit. Each result is opened again as whoever reads it does, and computes what the model itself does.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, readJsonObject } from '../../src/checkpoint/index.js';
import { compensate, writeDropped } from '../../src/drop/index.js';
import { exportModel } from '../../src/export/index.js';
import {
  describeConfig,
  isLlamaLike,
  loadModel,
  ownNames,
  theWeight,
  type Drops,
  type PartialConfig,
} from '../../src/models/index.js';
import { quantizeModel, writeQuantized, type QuantizeMethod } from '../../src/quant/index.js';
import { expectClose } from '../support/expectClose.js';
import { folderLogits, workplace, writeRandomFolder } from '../unit/export/randomFolder.js';

const place = workplace();

const sizes = {
  vocabSize: 60,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 16,
  maxPositionEmbeddings: 64,
};
const longrope = (rotary: number) =>
  ({
    type: 'longrope',
    theta: 10000,
    shortFactors: Array.from({ length: rotary / 2 }, (_, k) => 1 + k / 8),
    longFactors: Array.from({ length: rotary / 2 }, (_, k) => 2 + k),
    originalMaxPositions: 12,
    attentionFactor: 1.25,
  }) as const;
const cases: Record<string, PartialConfig> = {
  qwen2: { ...sizes, modelType: 'qwen2' },
  qwen3: { ...sizes, modelType: 'qwen3' },
  gemma2: {
    ...sizes,
    modelType: 'gemma2',
    tieWordEmbeddings: true,
    slidingWindow: 5,
    familyKeys: { query_pre_attn_scalar: 16 },
  },
  gemma3: {
    ...sizes,
    modelType: 'gemma3_text',
    tieWordEmbeddings: true,
    slidingWindow: 5,
    familyKeys: { query_pre_attn_scalar: 16 },
  },
  phi3: { ...sizes, modelType: 'phi3' },
  'phi4-mini': {
    ...{ ...sizes, modelType: 'phi3', rope: longrope(12) },
    familyKeys: { partial_rotary_factor: 0.75, original_max_position_embeddings: 12 },
  },
  olmo2: { ...sizes, modelType: 'olmo2' },
  smollm3: { ...sizes, modelType: 'smollm3', familyKeys: { no_rope_layers: [1, 0, 1, 0] } },
  granite: {
    ...{ ...sizes, modelType: 'granite' },
    familyKeys: { embedding_multiplier: 6, attention_multiplier: 0.2, residual_multiplier: 0.3, logits_scaling: 4 },
  },
  'baichuan2-7b': { ...sizes, numKeyValueHeads: 4, modelType: 'baichuan', familyKeys: { z_loss_weight: 0 } },
  'baichuan-13b': {
    ...{ ...sizes, numKeyValueHeads: 4, modelType: 'baichuan' },
    familyKeys: { max_position_embeddings: null, model_max_length: 64 },
  },
};
const rows = Array.from({ length: 3 }, (_, row) =>
  Int32Array.from({ length: 24 }, (__, i) => (i * i * (row + 3) + 7 * row + (i % 5)) % 60),
);
const tokens = Array.from(rows[1].subarray(0, 16));
const none: Drops = { attention: [], mlp: [] };
const some: Drops = { attention: [0, 2], mlp: [1, 2] };
const block: Drops = { attention: [1], mlp: [1] };

const largest = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
/** Only the order of sums differs, if anything. */
const expectSame = (found: Float32Array, expected: Float32Array): void =>
  expectClose(found, expected, 1e-4 * largest(expected));
const squares = (a: Float32Array, b: Float32Array): number => a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0);

describe.each(Object.entries(cases))('%s', (name, config) => {
  const description = describeConfig(config);
  const written = async (): Promise<string> => {
    const folder = place.folder();
    await writeRandomFolder(folder, config);
    return folder;
  };
  const logits = (folder: string, drops: Drops = none): Promise<Float32Array> =>
    folderLogits(place.engine(), folder, tokens, drops);
  const tensors = async (folder: string): Promise<string[]> => {
    await using source = await openCheckpoint(folder);
    return source.tensorNames().sort();
  };

  it('is written without what is dropped', async () => {
    const [folder, out] = [await written(), place.folder('dropped')];
    await using model = await loadModel(folder, { engine: place.engine() });
    await writeDropped(model, some, out);
    expectSame(await logits(out), await logits(folder, some));
    const gone = description.layers[2].attention.weights.flatMap(ownNames);
    expect((await tensors(out)).filter((tensor) => gone.includes(tensor))).toEqual([]);
  });

  it('exports to plain folders: blocks taken out, and all else zeroed', async () => {
    const folder = await written();
    const [zeroed, reduced] = [place.folder('zeroed'), place.folder('reduced')];
    await exportModel(folder, { to: 'hf', out: zeroed, engine: place.engine(), drops: some, zero: true });
    expectSame(await logits(zeroed), await logits(folder, some));
    expect(await tensors(zeroed)).toEqual(await tensors(folder));
    await exportModel(folder, { to: 'hf', out: reduced, engine: place.engine(), drops: block });
    expectSame(await logits(reduced), await logits(folder, block));
    const lists = Object.entries(description.conventions.layerKeys ?? {});
    expect(await readJsonObject(join(reduced, 'config.json'))).toMatchObject(
      Object.fromEntries(lists.map(([key, list]) => [key, list.filter((_, layer) => layer !== 1)])),
    );
  });

  it('exports to vLLM without its modules, or is refused', async () => {
    const [folder, out] = [await written(), place.folder('vllm')];
    const made = exportModel(folder, { to: 'vllm', out, engine: place.engine(), drops: some });
    if (!isLlamaLike(description))
      return expect(made).rejects.toThrow(/has an attention and an MLP in every layer, but this model lacks/);
    expect((await made).architecture).toBe('nemotron-nas');
    const raw = await readJsonObject(join(out, 'config.json'));
    expect([raw?.attention_bias, raw?.qkv_bias]).toEqual([false, config.modelType === 'qwen2' ? true : undefined]);
    expect(await tensors(out)).toContain('model.layers.1.self_attn.q_proj.weight');
  });

  it('exports to GGUF, or is refused', async () => {
    const [folder, out] = [await written(), `${place.folder('out')}.gguf`];
    const made = exportModel(folder, { to: 'gguf', out, engine: place.engine(), drops: some });
    const taken = {
      'baichuan-13b': /takes for granted of a baichuan that one with linear biases has 40 layers/,
      smollm3: /takes for granted of a smollm3 that every fourth layer/,
    };
    if (name in taken) return expect(made).rejects.toThrow(taken[name as keyof typeof taken]);
    const { architecture, proof } = await made;
    expect(architecture).toBe(isLlamaLike(description) ? 'deci' : description.conventions.gguf.architecture);
    expect(proof.largestDifference).toBeLessThanOrEqual(1e-4 * proof.largestLogit);
  });

  it('is quantized by every method, the better the more it looks at', async () => {
    const folder = await written();
    await using model = await loadModel(folder, { engine: place.engine() });
    const whole = await logits(folder);
    const off = async (method: QuantizeMethod): Promise<number> => {
      const out = place.folder(method);
      const form = { groupSize: 32, symmetric: method !== 'awq' } as const;
      await using made = await quantizeModel(model, rows, { method, ...form });
      const format = method === 'awq' ? 'awq' : 'gptq';
      await writeQuantized(model, out, { format, ...form, replaced: made.replaced });
      const q = theWeight(description.layers[3].attention.weights, 'query');
      const packed = ownNames(q)[0].replace(/weight$/, 'qweight');
      expect(await readFile(join(out, 'model.safetensors'), 'latin1')).toContain(`"${packed}"`);
      return squares(await logits(out), whole) / squares(whole, new Float32Array(whole.length));
    };
    const rounded = await off('rtn');
    expect(rounded).toBeLessThan(0.2);
    // The rows of `tokens` are among those that both look at: a scale that is not made up for would be worse than rounding.
    expect(await off('gptq')).toBeLessThan(0.3 * rounded);
    expect(await off('awq')).toBeLessThan(0.9 * rounded);
  });

  it('is refit, or is refused', async () => {
    const folder = await written();
    await using model = await loadModel(folder, { engine: place.engine() });
    const refit = compensate(model, { attention: [], mlp: [2] }, rows, { mode: 'neighbour', alpha: 0.1 });
    if (description.layers[0].attention.postNorm)
      return await expect(refit).rejects.toThrow(/cannot be refit: a norm comes behind each of its modules/);
    await using made = await refit;
    expect(made.refits.map(({ tensor }) => tensor)).toEqual(['model.layers.2.self_attn.o_proj.weight']);
    expect(made.refits[0].errorAfter).toBeLessThan(made.refits[0].errorBefore);
  });
});
