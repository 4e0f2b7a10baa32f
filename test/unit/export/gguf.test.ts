import { readFile, writeFile, open } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { arraySource } from '../../../src/engine/index.js';
import { GgufFile } from '../../../src/checkpoint/index.js';
import { exportModel, type ExportType } from '../../../src/export/index.js';
import { i32s, string, u32, type GgufMetadata } from '../../../src/checkpoint/gguf/ggufFormat.js';
import { rotaryOrdered } from '../../../src/checkpoint/rowViews.js';
import { writeGguf, type GgufTensor } from '../../../src/checkpoint/gguf/ggufWriter.js';
import {
  describeConfig,
  loadModel,
  Model,
  openModel,
  ropeFrequencies,
  type ModelDescription,
  type PartialConfig,
  type RopeParameters,
} from '../../../src/models/index.js';
import { dropSets, modelSpecs } from '../../../src/testing/index.js';
import { expectClose } from '../../support/expectClose.js';
import { floatsOf, readMiniGguf } from './miniGguf.js';
import { folderLogits, logitsOf, workplace, writeRandomFolder } from './randomFolder.js';

const place = workplace();
const tokens = [3, 1, 4, 1, 5, 9, 2, 6];

const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 24,
  intermediateSize: 64,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  maxPositionEmbeddings: 64,
  rope: { type: 'llama3', theta: 10000, factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositions: 16 },
};
const mixtral: PartialConfig = {
  ...llama,
  modelType: 'mixtral',
  numLocalExperts: 3,
  numExpertsPerTok: 2,
  rope: { type: 'default', theta: 10000 },
};

async function exported(
  config: PartialConfig,
  o: { attention?: number[]; mlp?: number[]; type?: ExportType; zero?: boolean } = {},
): Promise<{ folder: string; out: string }> {
  const [folder, out] = [place.folder(), `${place.folder('out')}.gguf`];
  await writeRandomFolder(folder, config);
  const { attention = [], mlp = [], type = 'f32', zero } = o;
  await exportModel(folder, { to: 'gguf', type, out, zero, engine: place.engine(), drops: { attention, mlp } });
  return { folder, out };
}

const floats = async (folder: string, name: string): Promise<Float32Array> => {
  await using model = await loadModel(folder, { engine: place.engine() });
  const source = model.source.source(name);
  const bytes = await source.readRows(0, source.shape.length === 1 ? 1 : source.shape[0]);
  return new Float32Array(bytes.slice().buffer);
};

describe('a dense model', () => {
  it('is a plain llama without the dropped blocks', async () => {
    const { folder, out } = await exported(llama, { attention: [1], mlp: [1] });
    const { metadata, types, tensors } = readMiniGguf(out);
    expect(metadata).toMatchObject({
      'general.architecture': 'llama',
      'general.file_type': 0,
      'general.quantization_version': 2,
      'llama.block_count': 3,
      'llama.context_length': 64,
      'llama.embedding_length': 24,
      'llama.feed_forward_length': 64,
      'llama.attention.head_count': 4,
      'llama.attention.head_count_kv': 2,
      'llama.attention.key_length': 8,
      'llama.attention.value_length': 8,
      'llama.rope.dimension_count': 8,
      'llama.rope.freq_base': 10000,
      'llama.vocab_size': 320,
    });
    expect(types).toMatchObject({
      'llama.block_count': 4,
      'llama.rope.freq_base': 6,
      'llama.attention.layer_norm_rms_epsilon': 6,
    });
    const layer = [
      'attn_norm',
      'attn_q',
      'attn_k',
      'attn_v',
      'attn_output',
      'ffn_norm',
      'ffn_gate',
      'ffn_up',
      'ffn_down',
    ];
    const expected = [
      'token_embd',
      'output_norm',
      'output',
      'rope_freqs',
      ...[0, 1, 2].flatMap((i) => layer.map((name) => `blk.${i}.${name}`)),
    ];
    expect(Object.keys(tensors).sort()).toEqual(expected.map((name) => `${name}.weight`).sort());
    expect(tensors['blk.1.ffn_down.weight'].ne).toEqual([64, 24]);
    expect(floatsOf(tensors['blk.1.ffn_down.weight'])).toEqual(
      await floats(folder, 'model.layers.2.mlp.down_proj.weight'),
    );
  });

  it('has its rotary rows in pairs, and rope_freqs', async () => {
    const { folder, out } = await exported(llama);
    const { tensors } = readMiniGguf(out);
    const [theirs, ours] = [
      floatsOf(tensors['blk.2.attn_k.weight']),
      await floats(folder, 'model.layers.2.self_attn.k_proj.weight'),
    ];
    // Row 2r + s of a head is the old row s d/2 + r.
    for (let head = 0; head < 2; head++)
      for (let r = 0; r < 4; r++)
        for (let s = 0; s < 2; s++) {
          const [to, from] = [head * 8 + 2 * r + s, head * 8 + 4 * s + r];
          expect(theirs.subarray(to * 24, (to + 1) * 24)).toEqual(ours.subarray(from * 24, (from + 1) * 24));
        }
    expect(floatsOf(tensors['blk.2.attn_v.weight'])).toEqual(
      await floats(folder, 'model.layers.2.self_attn.v_proj.weight'),
    );
    const { inverse } = ropeFrequencies(llama.rope!, 8);
    expectClose(
      floatsOf(tensors['rope_freqs.weight']),
      Array.from(inverse, (f, k) => 10000 ** (-k / 4) / f),
      1e-6,
    );
  });

  it('permutes biases too, and stores vectors as F32', async () => {
    const { folder, out } = await exported(
      { ...llama, attentionBias: true, mlpBias: true, tieWordEmbeddings: true },
      { type: 'q8_0' },
    );
    const { tensors } = readMiniGguf(out);
    const [theirs, ours] = [
      floatsOf(tensors['blk.0.attn_q.bias']),
      await floats(folder, 'model.layers.0.self_attn.q_proj.bias'),
    ];
    expect(theirs[1]).toBe(ours[4]);
    expect(theirs[8 + 2]).toBe(ours[8 + 1]);
    expect(tensors).not.toHaveProperty('output.weight');
    expect(floatsOf(tensors['blk.0.ffn_down.bias'])).toEqual(await floats(folder, 'model.layers.0.mlp.down_proj.bias'));
  });

  it('is a deci without the dropped sub-layers, in a form that llama.cpp reads right', async () => {
    const { out } = await exported({ ...llama, numHiddenLayers: 5 }, { attention: [0, 3, 4], mlp: [1, 3] });
    const { metadata, types, tensors } = readMiniGguf(out);
    expect(metadata).toMatchObject({
      'general.architecture': 'deci',
      'deci.block_count': 4,
      'deci.attention.head_count': [4, 4, 4, 0],
      'deci.attention.head_count_kv': [0, 2, 2, 0],
      'deci.feed_forward_length': [64, 32, 64, 64],
    });
    expect(types['deci.attention.head_count']).toBe(5);
    const of = (layer: number): string[] =>
      Object.keys(tensors)
        .filter((name) => name.startsWith(`blk.${layer}.`))
        .map((name) => name.split('.')[2])
        .sort();
    const mlp = ['ffn_down', 'ffn_gate', 'ffn_norm', 'ffn_up'];
    expect(of(0)).toEqual(['attn_norm', 'attn_output', ...mlp]);
    expect(of(1)).toEqual(['attn_k', 'attn_norm', 'attn_output', 'attn_q', 'attn_v', ...mlp]);
    expect(of(3)).toEqual(mlp);
    expect(tensors['blk.0.attn_output.weight'].ne).toEqual([24, 24]);
    expect(tensors['blk.1.ffn_gate.weight'].ne).toEqual([24, 32]);
    for (const name of ['blk.0.attn_output', 'blk.1.ffn_gate', 'blk.1.ffn_up', 'blk.1.ffn_down'])
      expect(floatsOf(tensors[`${name}.weight`]).every((x) => x === 0)).toBe(true);
  });

  it('keeps keys and values in layer 0 where every attention is dropped', async () => {
    const { out } = await exported(llama, { attention: [0, 1, 2, 3] });
    const { metadata, tensors } = readMiniGguf(out);
    expect(metadata['deci.attention.head_count_kv']).toEqual([2, 0, 0, 0]);
    expect(floatsOf(tensors['blk.0.attn_output.weight']).every((x) => x === 0)).toBe(true);
  });

  it('has no longer context than its sliding window', async () => {
    const { out } = await exported({
      ...llama,
      modelType: 'mistral',
      slidingWindow: 16,
      rope: { type: 'linear', theta: 5000, factor: 2 },
    });
    expect(readMiniGguf(out).metadata).toMatchObject({
      'llama.context_length': 16,
      'llama.rope.scaling.type': 'linear',
      'llama.rope.scaling.factor': 2,
      'llama.rope.freq_base': 5000,
    });
  });
});

describe('a mixture of experts', () => {
  it('is a llama with stacked experts, dropped modules zero', async () => {
    const { folder, out } = await exported(mixtral, { attention: [1], mlp: [2] });
    const { metadata, tensors } = readMiniGguf(out);
    expect(metadata).toMatchObject({
      'general.architecture': 'llama',
      'llama.expert_count': 3,
      'llama.expert_used_count': 2,
      'llama.block_count': 4,
    });
    const up = tensors['blk.0.ffn_up_exps.weight'];
    expect(up.ne).toEqual([24, 64, 3]);
    expect(floatsOf(up).slice(64 * 24, 2 * 64 * 24)).toEqual(
      await floats(folder, 'model.layers.0.block_sparse_moe.experts.1.w3.weight'),
    );
    expect(tensors['blk.0.ffn_gate_inp.weight'].ne).toEqual([24, 3]);
    expect(floatsOf(tensors['blk.1.attn_output.weight']).every((x) => x === 0)).toBe(true);
    expect(floatsOf(tensors['blk.2.ffn_down_exps.weight']).every((x) => x === 0)).toBe(true);
    expect(floatsOf(tensors['blk.2.ffn_up_exps.weight']).some((x) => x !== 0)).toBe(true);
  });
});

describe('types', () => {
  it.each([
    ['f32', 0, 0, 0],
    ['f16', 1, 1, 1],
    ['bf16', 32, 30, 30],
    ['q8_0', 7, 8, 8],
    ['q4_0', 2, 2, 8],
    ['q4_1', 3, 3, 8],
  ] as const)('%s', async (type, fileType, matrix, table) => {
    const { out } = await exported({ ...mixtral, hiddenSize: 32 }, { type });
    const { metadata, tensors } = readMiniGguf(out);
    expect(metadata['general.file_type']).toBe(fileType);
    expect(tensors['blk.0.attn_q.weight'].type).toBe(matrix);
    expect(tensors['blk.0.ffn_down_exps.weight'].type).toBe(matrix);
    expect(tensors['token_embd.weight'].type).toBe(table);
    expect(tensors['blk.0.ffn_gate_inp.weight'].type).toBe(0);
    expect(tensors['blk.0.attn_norm.weight'].type).toBe(0);
  });

  it('rows that no blocks fit are F16', async () => {
    const { out } = await exported(llama, { type: 'q4_0' });
    const { tensors } = readMiniGguf(out);
    expect([tensors['blk.0.attn_q.weight'].type, tensors['blk.0.ffn_down.weight'].type]).toEqual([1, 2]);
  });
});

/** Of YaRN, llama.cpp reads the factor and the context alone; Llama 3's scaling it knows of llama and deci alone. */
const isKnownToLlamaCpp = (rope: RopeParameters, { conventions: { gguf } }: ModelDescription): boolean =>
  rope.type === 'llama3'
    ? Boolean(gguf.ropeDivisors)
    : rope.type !== 'yarn' ||
      (rope.truncate &&
        rope.betaFast === 32 &&
        rope.betaSlow === 1 &&
        rope.attentionFactor === 0.1 * Math.log(rope.factor) + 1);

it('any model with any drops reads back as what it computes', async () => {
  const cases = modelSpecs({ maxLayers: 4 }).chain((spec) =>
    fc.record({ spec: fc.constant(spec), drops: dropSets(spec.config.numHiddenLayers), zero: fc.boolean() }),
  );
  await fc.assert(
    fc.asyncProperty(cases, async ({ spec: { config, seed }, drops, zero }) => {
      const [folder, out] = [place.folder(), `${place.folder('out')}.gguf`];
      const complete = await writeRandomFolder(folder, config, { seed });
      if (drops.attention.length === complete.numHiddenLayers && drops.mlp.length === complete.numHiddenLayers && !zero)
        return;
      const made = exportModel(folder, { to: 'gguf', out, engine: place.engine(), drops, zero });
      const described = describeConfig(config);
      const { unlike } = described.conventions.gguf;
      if (!isKnownToLlamaCpp(complete.rope, described) || unlike?.(described.layers, described)) {
        const refused = await made.then(
          ({ architecture }) => architecture,
          (error: Error) => error.message,
        );
        // Of few layers, a Gemma 3 may have none that turns as its config says.
        expect(refused).toMatch(
          /^(deci|gemma3)$|YaRN scaling only with its usual|does not know Llama 3's scaling|takes for granted/,
        );
        if (!/^(deci|gemma3)$/.test(refused)) return;
      }
      await made;
      // Within the window, beyond which llama.cpp would differ.
      const few = tokens.slice(0, complete.slidingWindow).map((token) => token % complete.vocabSize);
      const expected = await folderLogits(place.engine(), folder, few, drops);
      await using opened = await openModel(out, { blocks: 'float32' });
      const { description, source } = opened;
      const found = await logitsOf(new Model(place.engine(), description, source), few);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3);
      // As test/property/model.test.ts: only the order of sums differs, if anything.
      expectClose(found, expected, 1e-4 * largest);
    }),
    { numRuns: 30 },
  );
});

it('a gate of another activation than llama.cpp computes is refused', async () => {
  const [folder, out] = [place.folder(), `${place.folder('out')}.gguf`];
  await writeRandomFolder(folder, llama, { extra: { hidden_act: 'gelu' } });
  await expect(exportModel(folder, { to: 'gguf', out, engine: place.engine() })).rejects.toThrow(
    /takes for granted of a llama that the activation is silu, which is not so here/,
  );
});

it('un-permuted queries and keys compute something else', async () => {
  const { folder, out } = await exported(llama);
  const expected = await folderLogits(place.engine(), folder, tokens);
  await using opened = await openModel(out);
  const made = (): Model => new Model(place.engine(), opened.description, opened.source);
  expectClose(await logitsOf(made(), tokens), expected, 1e-4);
  const model = made();
  const { parameters } = model;
  const source = parameters.source.bind(parameters);
  parameters.source = (name) => (/[qk]_proj/.test(name) ? rotaryOrdered(source(name), 8, 'pairs') : source(name));
  const found = await logitsOf(model, tokens);
  const off = found.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i])), 0);
  expect(off).toBeGreaterThan(0.05);
});

describe('the writer refuses what llama.cpp cannot read', () => {
  const metadata = (mlp: number[], heads: number[]): GgufMetadata => ({
    'general.architecture': string('deci'),
    'deci.block_count': u32(2),
    'deci.feed_forward_length': i32s(mlp),
    'deci.attention.head_count': i32s(heads),
    'deci.attention.head_count_kv': i32s(heads),
  });
  const write = async (given: GgufMetadata, tensors: GgufTensor[] = []): Promise<number> => {
    const file = await open(place.folder('refused'), 'wx');
    try {
      return await writeGguf(file, given, tensors);
    } finally {
      await file.close();
    }
  };

  it('a layer without an MLP', () =>
    expect(write(metadata([64, 0], [4, 4]))).rejects.toThrow(/layer 1 has a feed_forward_length of 0/));
  it('a first layer without heads', () =>
    expect(write(metadata([64, 64], [0, 4]))).rejects.toThrow(/layer 0 has a head_count of 0/));
  it('lists of another length than the layers', () =>
    expect(write(metadata([64, 64, 64], [4, 4]))).rejects.toThrow(/feed_forward_length lists 3 layers/));
  it('a last layer without heads is fine', () =>
    expect(write(metadata([64, 64], [4, 0]))).resolves.toBeGreaterThan(100));
  it('two tensors of one name, and rows that are no whole blocks', async () => {
    const tensor = (type: GgufTensor['type'], width: number): GgufTensor => ({
      name: 'x',
      type,
      source: arraySource(new Float32Array(width), [1, width], { name: 'x' }),
    });
    const good = metadata([64, 64], [4, 4]);
    await expect(write(good, [tensor('F32', 4), tensor('F32', 4)])).rejects.toThrow(/used twice/);
    await expect(write(good, [tensor('Q4_0', 48)])).rejects.toThrow(/rows of 48/);
  });
});

describe('the file', () => {
  it('is not written over, and nothing is left of what fails', async () => {
    const { folder, out } = await exported(llama);
    const options = { to: 'gguf', out, engine: place.engine() } as const;
    await expect(exportModel(folder, options)).rejects.toThrow(/exists/);
    await exportModel(folder, { ...options, overwrite: true, type: 'q8_0' });
    expect(readMiniGguf(out).metadata['general.file_type']).toBe(7);
    await expect(exportModel(folder, { ...options, out: `${out}.bin` })).rejects.toThrow(/must end in .gguf/);
  });

  it('that is cut off or no GGUF is refused when read', async () => {
    const { out } = await exported(llama);
    const bytes = await readFile(out);
    const cut = `${place.folder()}.gguf`;
    await writeFile(cut, bytes.subarray(0, bytes.length - 64));
    await expect(GgufFile.open(cut)).rejects.toThrow(/truncated/);
    await writeFile(cut, bytes.subarray(0, 200));
    await expect(GgufFile.open(cut)).rejects.toThrow(/truncated/);
    await writeFile(cut, 'GGML is another format');
    await expect(GgufFile.open(cut)).rejects.toThrow(/no GGUF file/);
  });

  it('has the tokenizer: tokens, types, merges, markers', async () => {
    const { out } = await exported(llama);
    const { metadata } = readMiniGguf(out);
    expect(metadata).toMatchObject({
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'gpt-2',
      'tokenizer.ggml.bos_token_id': 1,
      'tokenizer.ggml.eos_token_id': 2,
      'tokenizer.ggml.add_bos_token': true,
    });
    expect((metadata['tokenizer.ggml.tokens'] as string[]).slice(0, 3)).toEqual(['<pad>', '<s>', '</s>']);
    expect(metadata['tokenizer.ggml.tokens']).toHaveLength(320);
    expect((metadata['tokenizer.ggml.token_type'] as number[]).slice(0, 5)).toEqual([
      3,
      3,
      3,
      expect.any(Number),
      expect.any(Number),
    ]);
    expect((metadata['tokenizer.ggml.merges'] as string[]).slice(0, 3)).toEqual(['h e', 'Ġ t', 'Ġt he']);
  });
});
