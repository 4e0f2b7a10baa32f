import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GgufFile, openCheckpoint } from '../../src/checkpoint/index.js';
import { writeDropped } from '../../src/drop/index.js';
import { exportModel } from '../../src/export/index.js';
import { openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, asHalf, bound, copyOf, logits, randomModel, tiny, zeros, type FolderModel } from './modelFolder.js';
import { packedModel, quantizationOf, setZeros, type Method } from './packedModel.js';

const folders = new Folders();
const nothing = { attention: [], mlp: [] };

describe('float weights under a quantization config that is left over', () => {
  const leftOver: Record<string, Record<string, unknown>> = {
    'bitsandbytes, in quantization_config': {
      quantization_config: { quant_method: 'bitsandbytes', load_in_4bit: true, bnb_4bit_quant_type: 'nf4' },
    },
    'AWQ, in quantization_config': {
      quantization_config: { quant_method: 'awq', bits: 4, group_size: 128, zero_point: true, version: 'gemm' },
    },
    'fp8, in quantization_config': { quantization_config: { quant_method: 'fp8', weight_block_size: [128, 128] } },
    'a method that nobody knows': { quantization_config: { quant_method: 'shrink', factor: 3 } },
    'compressed-tensors, in compression_config': {
      compression_config: { format: 'pack-quantized', config_groups: {} },
    },
    'MLX, in quantization': { quantization: { group_size: 64, bits: 4 } },
  };
  it.each(Object.keys(leftOver))('of %s load with a note, and no trace of it is written', async (name) => {
    const model = await randomModel();
    const expected = await logits(await folders.write(model));
    const folder = await folders.write({ ...model, config: { ...model.config, ...leftOver[name] } });
    expectClose(await logits(folder), expected, 0);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([expect.stringContaining('is left over')]);
    const out = folders.vacant();
    await writeDropped(opened, nothing, out);
    await using written = await openModel(out);
    expect(written.notes).toEqual([]);
    const gguf = `${folders.vacant()}.gguf`;
    await exportModel(opened, { to: 'gguf', out: gguf });
    await using file = await GgufFile.open(gguf);
    expect(['token_embd', 'blk.1.ffn_up', 'output'].map((n) => file.type(`${n}.weight`))).toEqual([
      'F32',
      'F32',
      'F32',
    ]);
  });

  it('are not taken for such where a matrix is of integers', async () => {
    const model = await randomModel();
    model.tensors.set('model.layers.1.mlp.up_proj.weight', zeros('U8', [1024, 1]));
    model.config.quantization_config = { quant_method: 'bitsandbytes', load_in_4bit: true };
    await expect(openModel(await folders.write(model))).rejects.toThrow('quant_method "bitsandbytes"');
  });
});

describe('types of a GGUF file, where none is asked for,', () => {
  it('are those of each tensor', async () => {
    const model = await randomModel();
    for (const [name, stored] of model.tensors)
      if (/layers\.1.*proj/.test(name)) model.tensors.set(name, asHalf(stored));
    const out = `${folders.vacant()}.gguf`;
    await exportModel(await folders.write(model), { to: 'gguf', out });
    await using file = await GgufFile.open(out);
    expect([0, 1].map((layer) => file.type(`blk.${layer}.ffn_up.weight`))).toEqual(['F32', 'F16']);
  });

  it('are of 4 bits where these are stored, and floats where those are', async () => {
    const kept = (module: string): boolean => module.endsWith('layers.1.mlp.up_proj');
    const source = await randomModel();
    const up = 'model.layers.1.mlp.up_proj.weight';
    source.tensors.set(up, asHalf(source.tensors.get(up)!));
    const out = `${folders.vacant()}.gguf`;
    await exportModel(await folders.write(packedModel(source, 'gptq', { kept }).model), { to: 'gguf', out });
    await using file = await GgufFile.open(out);
    expect(['ffn_up', 'ffn_gate'].map((name) => file.type(`blk.1.${name}.weight`))).toEqual(['F16', 'Q4_0']);
  });
});

/** Logits of a changed packed model are those of its floats; or it is refused in these words. */
async function reads(method: Method, change: (model: FolderModel) => void, refused?: RegExp): Promise<void> {
  const { model, floats } = packedModel(await randomModel(), method);
  change(model);
  const folder = await folders.write(model);
  if (refused) await expect(openModel(folder)).rejects.toThrow(refused);
  else expectClose(await logits(folder), await logits(await folders.write(floats)), bound);
}

const set =
  (keys: Record<string, unknown>) =>
  (model: FolderModel): void =>
    void Object.assign(quantizationOf(model), keys);

describe('zero points of symmetric GPTQ', () => {
  it.each([
    ['gptq', 0x88888888],
    ['gptq', 0x77777777],
    ['gptq_v2', 0x77777777],
    ['gptq_v2', 0x88888888],
  ])('are 8 in %s, stored as %i', (format, word) =>
    reads('gptq', (model) => {
      set({ checkpoint_format: format })(model);
      setZeros(model, word);
    }),
  );

  it('are noted where they are those of the other version', async () => {
    const { model } = packedModel(await randomModel(), 'gptq');
    setZeros(model, 0x88888888);
    await using opened = await openModel(await folders.write(model));
    expect(opened.notes).toEqual([expect.stringContaining('qzeros')]);
  });

  it('are as they are stored where nothing says that they are symmetric', async () => {
    const { model, floats } = packedModel(await randomModel(), 'gptq');
    set({ sym: false })(model);
    setZeros(model, 0x88888888); // of 9
    const [found, symmetric] = [await logits(await folders.write(model)), await logits(await folders.write(floats))];
    expect(found.some((value, i) => Math.abs(value - symmetric[i]) > 0.01)).toBe(true);
  });
});

describe('the same layout in other words', () => {
  it.each<[string, Method, Record<string, unknown>]>([
    ['bits as a text', 'gptq', { bits: '4', group_size: '32' }],
    ['keys of other programs', 'gptq', { use_exllama: true, exllama_config: { version: 1 }, desc_act: true }],
    ["AutoRound's, packed as GPTQ", 'gptq', { quant_method: 'auto-round', packing_format: 'auto_round:auto_gptq' }],
    [
      "AutoRound's, packed as AWQ",
      'awq',
      { quant_method: 'auto-round', packing_format: 'auto_round:auto_awq', sym: false },
    ],
    [
      "AutoRound's, with layers of 16 bits",
      'gptq',
      { quant_method: 'auto-round', extra_config: { lm_head: { bits: 16 } } },
    ],
    ['GEMM', 'awq', { version: 'GEMM' }],
    ['no version', 'awq', { version: null }],
    [
      'more keys',
      'compressed-tensors',
      { sparsity_config: { format: 'dense' }, transform_config: {}, kv_cache_scheme: null },
    ],
    ['rules for modules that stay floats', 'gptq', { dynamic: { '-:.*lm_head': {}, '+:.*q_proj': { bits: 4 } } }],
  ])('%s', (_, method, keys) => reads(method, set(keys)));

  it('compression_config', () =>
    reads('compressed-tensors', ({ config }) => {
      config.compression_config = config.quantization_config;
      delete config.quantization_config;
    }));

  it('a format of each group', () =>
    reads('compressed-tensors', (model) => {
      const q = quantizationOf(model);
      q.format = 'mixed-precision';
      (q.config_groups as Record<string, Record<string, unknown>>).group_0.format = 'pack-quantized';
    }));

  it.each<[string, Record<string, unknown>]>([
    ['gptq', { dynamic: { '+:.*down_proj': { group_size: 64 } } }],
    [
      'auto-round',
      { quant_method: 'auto-round', extra_config: { 'model.layers.0.mlp.down_proj': { group_size: 64 } } },
    ],
  ])('other groups in some modules, of %s, also in what is written', async (_, keys) => {
    const { model, floats } = packedModel(await randomModel({ ...tiny, numKeyValueHeads: 4 }), 'gptq', {
      size: (module) => (module.endsWith('down_proj') ? 64 : 32),
    });
    set(keys)(model);
    const folder = await folders.write(model);
    const expected = await logits(await folders.write(floats));
    expectClose(await logits(folder), expected, bound);
    const out = folders.vacant();
    await exportModel(folder, { to: 'hf', out });
    expectClose(await logits(out), expected, bound);
    await using written = await openCheckpoint(out);
    const groups = (name: string): number => written.int4(`model.layers.0.mlp.${name}.weight`)!.fileGroup;
    expect([groups('down_proj'), groups('up_proj')]).toEqual([64, 32]);
  });
});

describe('other layouts are refused by name', () => {
  it.each<[Method, Record<string, unknown>, RegExp]>([
    ['gptq', { bits: 8 }, /8 bits/],
    ['gptq', { bits: '8' }, /"8" bits/],
    ['gptq', { checkpoint_format: 'marlin' }, /marlin/],
    ['gptq', { dynamic: { '+:.*q_proj': { bits: 8 } } }, /dynamic/],
    ['gptq', { group_size: {} }, /group_size/],
    ['awq', { version: 'gemv' }, /gemv/],
    ['compressed-tensors', { format: 'int-quantized' }, /int-quantized/],
    ['compressed-tensors', { format: 'mixed-precision' }, /mixed-precision/],
    ['gptq', { quant_method: 'auto-round', packing_format: 'auto_round:marlin' }, /auto-round's packing_format/],
    ['gptq', { quant_method: 'auto-round', data_type: 'mx_fp' }, /auto-round's data_type/],
    ['gptq', { quant_method: 'auto-round', extra_config: { lm_head: { bits: 8 } } }, /extra_config/],
  ])('%s with %j', (method, keys, says) => reads(method, set(keys), says));
});

it('what is dropped of a packed model takes all its tensors along', async () => {
  const { model } = packedModel(await randomModel(), 'compressed-tensors');
  const out = folders.vacant();
  await using opened = await openModel(await folders.write(model));
  await writeDropped(opened, { attention: [1], mlp: [0] }, out);
  const file = await import('../../src/checkpoint/index.js').then(({ SafetensorsFile }) =>
    SafetensorsFile.open(join(out, 'model.safetensors')),
  );
  expect(file.tensorNames().filter((name) => /layers\.(1\.self_attn|0\.mlp)/.test(name))).toEqual([]);
  expect(copyOf(model).tensors.size).toBeGreaterThan(file.tensorNames().length);
});
