import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { openCheckpoint, readJsonObject } from '../../../src/checkpoint/index.js';
import { exportModel, type ExportOptions } from '../../../src/export/index.js';
import { describeModel, loadModel, type Drops, type PartialConfig } from '../../../src/models/index.js';
import { dropSets, modelSpecs } from '../../../src/testing/index.js';
import { expectClose } from '../../support/expectClose.js';
import { folderLogits, logitsOf, modelOn, workplace, writeFused, writeRandomFolder } from './randomFolder.js';

const place = workplace();
const tokens = [3, 1, 4, 1, 5, 9, 2, 6];

const llama: PartialConfig = {
  modelType: 'llama',
  vocabSize: 320,
  hiddenSize: 24,
  intermediateSize: 40,
  numHiddenLayers: 4,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  maxPositionEmbeddings: 64,
};
const mixtral: PartialConfig = { ...llama, modelType: 'mixtral', numLocalExperts: 3, numExpertsPerTok: 2 };

async function exported(
  config: PartialConfig,
  drops: Partial<Drops>,
  o: Partial<ExportOptions> = {},
): Promise<{ folder: string; out: string }> {
  const [folder, out] = [place.folder(), place.folder('out')];
  await writeRandomFolder(folder, config);
  await exportModel(folder, { to: 'hf', out, engine: place.engine(), drops, ...o });
  return { folder, out };
}

const values = async (folder: string, name: string): Promise<Float32Array> => {
  await using checkpoint = await openCheckpoint(folder);
  const source = checkpoint.source(name);
  return new Float32Array((await source.readRows(0, source.shape.length === 1 ? 1 : source.shape[0])).slice().buffer);
};

const names = async (folder: string): Promise<string[]> => {
  await using checkpoint = await openCheckpoint(folder);
  return checkpoint.tensorNames().sort();
};

describe('blocks', () => {
  it('are taken out and the others renumbered', async () => {
    const { folder, out } = await exported(llama, { attention: [0, 2], mlp: [0, 2] });
    const config = await readJsonObject(join(out, 'config.json'));
    expect(config).toMatchObject({ num_hidden_layers: 2, architectures: ['LlamaForCausalLM'] });
    expect(config).not.toHaveProperty('drop_attn_list');
    expect(await values(out, 'model.layers.1.self_attn.q_proj.weight')).toEqual(
      await values(folder, 'model.layers.3.self_attn.q_proj.weight'),
    );
    expect((await names(out)).filter((name) => /layers\.[^01]\./.test(name))).toEqual([]);
    expect(await folderLogits(place.engine(), out, tokens)).toEqual(
      await folderLogits(place.engine(), folder, tokens, { attention: [0, 2], mlp: [0, 2] }),
    );
  });

  it('take lists by layer and code of their own with them', async () => {
    const [full, sliding] = ['full_attention', 'sliding_attention'];
    const [folder, out] = [place.folder(), place.folder('out')];
    await writeRandomFolder(folder, llama, {
      extra: {
        drop_attn_list: [1],
        drop_mlp_list: [1],
        auto_map: { AutoConfig: 'configuration_dropped_llama.LlamaConfig' },
        layer_types: [full, sliding, full, sliding],
      },
    });
    await exportModel(folder, { to: 'hf', out, engine: place.engine() });
    const config = await readJsonObject(join(out, 'config.json'));
    expect(config).toMatchObject({ num_hidden_layers: 3, layer_types: [full, full, sliding] });
    expect(config).not.toHaveProperty('auto_map');
  });

  it('that are all dropped leave nothing to write', () => {
    const all = [0, 1, 2, 3];
    return expect(exported(llama, { attention: all, mlp: all })).rejects.toThrow(/no layer is left.*`zero`/);
  });
});

describe('sub-layers', () => {
  it('are refused, and the alternatives named', async () => {
    const [folder, out] = [place.folder(), place.folder('out')];
    await writeRandomFolder(folder, llama);
    const attempt = exportModel(folder, { to: 'hf', out, engine: place.engine(), drops: { attention: [1, 2] } });
    await expect(attempt).rejects.toThrow(
      /lacks attention of layers 1, 2 \(`zero` .* `to` vllm or gguf .* `to` llm-drop/,
    );
    await expect(readdir(out)).rejects.toThrow(/ENOENT/);
  });

  it('are zeroed with `zero`', async () => {
    const { folder, out } = await exported(llama, { attention: [1], mlp: [3] }, { zero: true });
    expect(await names(out)).toEqual(await names(folder));
    expect((await values(out, 'model.layers.1.self_attn.o_proj.weight')).every((x) => x === 0)).toBe(true);
    expect((await values(out, 'model.layers.3.mlp.down_proj.weight')).every((x) => x === 0)).toBe(true);
    expect(await values(out, 'model.layers.1.self_attn.q_proj.weight')).toEqual(
      await values(folder, 'model.layers.1.self_attn.q_proj.weight'),
    );
    expect(await readJsonObject(join(out, 'config.json'))).toMatchObject({ num_hidden_layers: 4 });
  });

  it('with biases have those zeroed too', async () => {
    const { out } = await exported(
      { ...llama, attentionBias: true, mlpBias: true },
      { attention: [1], mlp: [3] },
      { zero: true },
    );
    expect((await values(out, 'model.layers.1.self_attn.o_proj.bias')).every((x) => x === 0)).toBe(true);
    expect((await values(out, 'model.layers.3.mlp.down_proj.bias')).every((x) => x === 0)).toBe(true);
    expect((await values(out, 'model.layers.3.mlp.up_proj.bias')).some((x) => x !== 0)).toBe(true);
  });

  it('of a mixture have w2 of all experts zeroed', async () => {
    const { out } = await exported(mixtral, { mlp: [0] }, { zero: true });
    for (const expert of [0, 1, 2]) {
      expect(
        (await values(out, `model.layers.0.block_sparse_moe.experts.${expert}.w2.weight`)).every((x) => x === 0),
      ).toBe(true);
      expect(
        (await values(out, `model.layers.0.block_sparse_moe.experts.${expert}.w1.weight`)).some((x) => x !== 0),
      ).toBe(true);
    }
  });

  it('that the checkpoint no longer holds are made: zeros, and ones for norms', async () => {
    const [dropped, out] = [place.folder('dropped'), place.folder('out')];
    const { folder } = await exported(
      { ...llama, attentionBias: true },
      { attention: [1], mlp: [2] },
      { to: 'llm-drop', out: dropped },
    );
    expect(await names(dropped)).not.toContain('model.layers.1.self_attn.q_proj.weight');
    await exportModel(dropped, { to: 'hf', zero: true, out, engine: place.engine() });
    expect(await names(out)).toEqual(await names(folder));
    expect((await values(out, 'model.layers.1.self_attn.q_proj.weight')).every((x) => x === 0)).toBe(true);
    expect((await values(out, 'model.layers.1.input_layernorm.weight')).every((x) => x === 1)).toBe(true);
  });
});

it('fused experts are written under their old names', async () => {
  const { folder } = await exported(mixtral, {});
  const fused = place.folder('fused');
  await writeFused(folder, fused);
  const out = place.folder('out');
  await exportModel(fused, { to: 'hf', out, engine: place.engine() });
  expect(await names(out)).toEqual(await names(folder));
  const name = 'model.layers.2.block_sparse_moe.experts.1.w3.weight';
  expect(await values(out, name)).toEqual(await values(folder, name));
});

it('types: weights are cast and the config says so', async () => {
  const { out } = await exported(llama, {}, { type: 'bf16' });
  await using checkpoint = await openCheckpoint(out);
  expect(checkpoint.tensorNames().map((name) => checkpoint.info(name).dtype)).toEqual(
    Array.from(checkpoint.tensorNames(), () => 'BF16'),
  );
  expect(checkpoint.config.torch_dtype).toBe('bfloat16');
  await expect(exported(llama, {}, { type: 'q4_0' })).rejects.toThrow(/q4_0 is one of GGUF/);
});

describe('nemotron-nas', () => {
  interface Block {
    attention: { no_op: boolean; n_heads_in_group: number | null; replace_with_linear: boolean };
    ffn: { no_op: boolean; ffn_mult: number | null; replace_with_linear: boolean };
  }

  it('says which layers lack what, and pads MLPs to a multiple of 256', async () => {
    const { folder, out } = await exported(llama, { attention: [0, 1, 3], mlp: [1, 2] }, { to: 'vllm' });
    const raw = (await readJsonObject(join(out, 'config.json')))!;
    expect(raw).toMatchObject({
      architectures: ['DeciLMForCausalLM'],
      model_type: 'nemotron-nas',
      num_key_value_heads: null,
      intermediate_size: null,
      head_dim: 8,
      num_hidden_layers: 3,
      auto_map: { AutoConfig: 'configuration_nemotron_nas.DeciLMConfig' },
    });
    const blocks = raw.block_configs as Block[];
    // Block 1 is gone; layer 0 keeps an attention with zero o_proj.
    expect(blocks.map(({ attention, ffn }) => [attention.no_op, ffn.no_op])).toEqual([
      [false, false],
      [false, true],
      [true, false],
    ]);
    expect(blocks.map(({ attention }) => attention.n_heads_in_group)).toEqual([2, 2, null]);
    expect(blocks.map(({ ffn }) => ffn.ffn_mult === null)).toEqual([false, true, false]);
    expect(await readFile(join(out, 'configuration_nemotron_nas.py'), 'utf8')).toContain('model_type = "nemotron-nas"');
    const held = await names(out);
    expect(held.filter((name) => name.includes('layers.1.mlp') || name.includes('layers.1.post_attention'))).toEqual(
      [],
    );
    expect(held.filter((name) => name.includes('layers.2.self_attn') || name.includes('layers.2.input_'))).toEqual([]);
    expect((await values(out, 'model.layers.0.self_attn.o_proj.weight')).every((x) => x === 0)).toBe(true);
    const [down, ours] = [
      await values(out, 'model.layers.0.mlp.down_proj.weight'),
      await values(folder, 'model.layers.0.mlp.down_proj.weight'),
    ];
    expect(down).toHaveLength(24 * 256);
    for (let row = 0; row < 24; row++) {
      expect(down.subarray(row * 256, row * 256 + 40)).toEqual(ours.subarray(row * 40, (row + 1) * 40));
      expect(down.subarray(row * 256 + 40, (row + 1) * 256).every((x) => x === 0)).toBe(true);
    }
    expect((await values(out, 'model.layers.0.mlp.up_proj.weight')).length).toBe(256 * 24);
  });

  it('is read by a reader written from the specification', async () => {
    const drops = { attention: [2], mlp: [0, 3] };
    const { folder, out } = await exported({ ...llama, attentionBias: true, mlpBias: true }, drops, { to: 'vllm' });
    await using checkpoint = await openCheckpoint(out);
    const { block_configs: blocks, ...raw } = checkpoint.config as Record<string, unknown> & {
      block_configs: Block[];
      hidden_size: number;
      num_attention_heads: number;
    };
    const attends = blocks.find(({ attention }) => !attention.no_op)!.attention;
    const multiplier = blocks.find(({ ffn }) => !ffn.no_op)!.ffn.ffn_mult!;
    const size = Math.trunc((2 * multiplier * raw.hidden_size) / 3);
    const where = (list: boolean[]): number[] => list.flatMap((yes, i) => (yes ? [i] : []));
    const config = {
      ...describeModel(
        {
          ...raw,
          model_type: 'llama',
          intermediate_size: size % 256 ? size + 256 - (size % 256) : size,
          num_key_value_heads: raw.num_attention_heads / attends.n_heads_in_group!,
        },
        out,
      ).config,
      dropAttention: where(blocks.map(({ attention }) => attention.no_op)),
      dropMlp: where(blocks.map(({ ffn }) => ffn.no_op)),
    };
    const expected = await folderLogits(place.engine(), folder, tokens, drops);
    expectClose(await logitsOf(modelOn(place.engine(), checkpoint, config), tokens), expected, 1e-5);
  });

  it('any width of an MLP can be said as ffn_mult', async () => {
    const { multiplierOf, paddedWidth } = await import('../../../src/export/nemotronNas.js');
    const { completeConfig } = await import('../../../src/models/index.js');
    // How an engine computes the width (docs/formats.md, 'nemotron-nas config').
    const widthOf = (multiplier: number, hidden: number): number => {
      const size = Math.trunc((2 * multiplier * hidden) / 3);
      return size % 256 === 0 ? size : size + 256 - (size % 256);
    };
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 33000 }),
        fc.integer({ min: 2, max: 16384 }),
        (intermediateSize, hiddenSize) => {
          const config = completeConfig({
            vocabSize: 9,
            numHiddenLayers: 1,
            numAttentionHeads: 1,
            hiddenSize,
            intermediateSize,
          });
          const width = paddedWidth(config);
          expect(width % 256).toBe(0);
          expect(width - intermediateSize).toBeLessThan(256);
          expect(widthOf(multiplierOf(config), hiddenSize)).toBe(width);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is not needed where only blocks are dropped, nor with `zero`', async () => {
    const { out } = await exported(llama, { attention: [1], mlp: [1] }, { to: 'vllm' });
    expect(await readJsonObject(join(out, 'config.json'))).toMatchObject({ model_type: 'llama', num_hidden_layers: 3 });
    const zeroed = await exported(mixtral, { attention: [1] }, { to: 'vllm', zero: true });
    expect(await readJsonObject(join(zeroed.out, 'config.json'))).toMatchObject({
      model_type: 'mixtral',
      num_hidden_layers: 4,
    });
    await expect(exported(mixtral, { attention: [1] }, { to: 'vllm' })).rejects.toThrow(/`zero`/);
  });
});

it('any model with any drops computes the same from every folder', async () => {
  const cases = modelSpecs({ maxLayers: 4 }).chain((spec) =>
    fc.record({ spec: fc.constant(spec), drops: dropSets(spec.config.numHiddenLayers) }),
  );
  await fc.assert(
    fc.asyncProperty(cases, async ({ spec: { config, seed }, drops }) => {
      const folder = place.folder();
      const { vocabSize, numHiddenLayers } = await writeRandomFolder(folder, config, { seed });
      const few = tokens.map((token) => token % vocabSize);
      const expected = await folderLogits(place.engine(), folder, few, drops);
      const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 1e-3);
      const check = async (o: Partial<ExportOptions> & Pick<ExportOptions, 'to'>): Promise<void> => {
        const out = place.folder('out');
        await exportModel(folder, { out, engine: place.engine(), drops, ...o });
        expectClose(await folderLogits(place.engine(), out, few), expected, 1e-4 * largest);
      };
      await check({ to: 'llm-drop' });
      await check({ to: 'hf', zero: true });
      if (drops.attention.join() === drops.mlp.join() && drops.mlp.length < numHiddenLayers) await check({ to: 'hf' });
    }),
    { numRuns: 20 },
  );
});

it('a mixture without any MLP holds fewer tensors than it has experts', async () => {
  const config = { ...mixtral, numHiddenLayers: 1, numLocalExperts: 32 };
  const folder = place.folder();
  await writeRandomFolder(folder, config);
  const [out, drops] = [place.folder('out'), { attention: [0], mlp: [0] }];
  await exportModel(folder, { to: 'llm-drop', out, engine: place.engine(), drops });
  expect(await folderLogits(place.engine(), out, tokens)).toEqual(
    await folderLogits(place.engine(), folder, tokens, drops),
  );
});

describe('the llm-drop format', () => {
  const lists: Record<string, [attention: unknown, mlp: unknown]> = {
    indices: [[1, 3], [2]],
    booleans: [
      [false, true, false, true],
      [false, false, true, false],
    ],
    'a mixture with duplicates': [
      [1, 1, false, true],
      [2, 2],
    ],
    'nothing and null': [[], null],
  };

  it.each(Object.keys(lists))('is read with all weights present: %s', async (name) => {
    const [attention, mlp] = lists[name];
    const [full, listed] = [place.folder(), place.folder()];
    await writeRandomFolder(full, llama);
    await writeRandomFolder(listed, llama, { extra: { drop_attn_list: attention, drop_mlp_list: mlp } });
    const drops = name.startsWith('nothing') ? {} : { attention: [1, 3], mlp: [2] };
    expect(await folderLogits(place.engine(), listed, tokens)).toEqual(
      await folderLogits(place.engine(), full, tokens, drops),
    );
  });

  it('is read with the weights of dropped modules absent, which are those written', async () => {
    const { folder, out } = await exported(llama, { attention: [1, 3], mlp: [2] }, { to: 'llm-drop' });
    expect(
      (await names(out)).filter((name) => /layers\.(1|3)\.(self_attn|input_)|layers\.2\.(mlp|post_)/.test(name)),
    ).toEqual([]);
    expect(await readJsonObject(join(out, 'config.json'))).toMatchObject({
      drop_attn_list: [1, 3],
      drop_mlp_list: [2],
      num_hidden_layers: 4,
    });
    expect(await folderLogits(place.engine(), out, tokens)).toEqual(
      await folderLogits(place.engine(), folder, tokens, { attention: [1, 3], mlp: [2] }),
    );
    await expect(exportModel(folder, { to: 'llm-drop', out: place.folder(), type: 'f16' })).rejects.toThrow(
      /neither a type nor zeroing/,
    );
  });

  it('of a model in memory is what it skips now', async () => {
    const [folder, out] = [place.folder(), place.folder('out')];
    await writeRandomFolder(folder, llama);
    await using model = await loadModel(folder, { engine: place.engine() });
    model.skip({ mlp: [1] });
    const { drop } = await exportModel(model, { to: 'llm-drop', out });
    expect(drop).toEqual({ attention: [], mlp: [1] });
    expect(await readJsonObject(join(out, 'config.json'))).toMatchObject({ drop_mlp_list: [1] });
  });
});
