/** LoRA adapters as PEFT saves them, merged; the numbers expected are computed here in float64. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createBatch, createEngine, decodeFloats, encodeFloats } from '../../src/engine/index.js';
import { exportModel } from '../../src/export/index.js';
import { dropModules, quantizeCheckpoint } from '../../src/jobs/index.js';
import { loadModel, openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, bound, f32, floatsOf, logits, randomModel, writeFile, type FolderModel } from './modelFolder.js';
import { adapted, numbers, type Adapter, type Rule } from './adapterModel.js';
import { packedModel } from './packedModel.js';

const folders = new Folders();
const q = 'model.layers.0.self_attn.q_proj';
const up = 'model.layers.1.mlp.up_proj';

async function save({ config, tensors }: Adapter, folder = folders.empty()): Promise<string> {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config));
  await writeFile(join(folder, 'adapter_model.safetensors'), tensors);
  return folder;
}

const someTokens = [1, 5, 2, 7, 3, 9, 4, 6];

async function logitsWith(folder: string, adapter: string, tokens = someTokens): Promise<Float32Array> {
  using engine = await createEngine('reference');
  await using model = await loadModel(folder, { engine, adapter });
  using _scope = engine.scope();
  return await engine.readFloats(model.logits(model.forward(createBatch([tokens]))));
}

describe('a LoRA adapter is merged', () => {
  it.each<[string, Record<string, Rule>, Record<string, unknown>]>([
    ['by alpha / r', { [q]: { scale: 2 }, [up]: { scale: 2 } }, {}],
    ['by alpha / sqrt(r)', { [q]: { scale: 4 } }, { use_rslora: true }],
    [
      'by ranks and alphas of single modules',
      { [q]: { rank: 2, scale: 4 }, [up]: { scale: 0.75 } },
      { rank_pattern: { q_proj: 2 }, alpha_pattern: { '^model.layers.1.mlp.up_proj': 3 } },
    ],
    ['with magnitudes (DoRA)', { [q]: { scale: 2, magnitude: true } }, { use_dora: true }],
    [
      'with what it leaves out by default',
      { [q]: { scale: 2 } },
      { r: undefined, rank_pattern: { q_proj: 4 }, lora_alpha: undefined },
    ],
  ])('%s', async (_, rules, config) => {
    const base = await randomModel();
    const { adapter, merged } = adapted(base, rules, config);
    const folder = await folders.write(base);
    const got = await logitsWith(folder, await save(adapter));
    expectClose(got, await logits(await folders.write(merged)), bound);
    // It does make a difference.
    const before = await logits(folder);
    expect(Math.max(...got.map((value, i) => Math.abs(value - before[i])))).toBeGreaterThan(100 * bound);
  });

  it('with modules that were trained whole', async () => {
    const base = await randomModel();
    const { adapter, merged } = adapted(base, { [q]: { scale: 2 } }, { modules_to_save: ['lm_head'] });
    const { shape } = base.tensors.get('lm_head.weight')!;
    const head = f32(shape, numbers(shape[0] * shape[1], 7));
    adapter.tensors.set('base_model.model.lm_head.weight', head);
    merged.tensors.set('lm_head.weight', head);
    const got = await logitsWith(await folders.write(base), await save(adapter));
    expectClose(got, await logits(await folders.write(merged)), bound);
  });

  it('in the type of the weights, rounded once', async () => {
    const base = await randomModel();
    const { adapter, merged } = adapted(base, { [q]: { scale: 2 } });
    for (const [name, { shape, bytes }] of base.tensors)
      base.tensors.set(name, {
        dtype: 'BF16',
        shape,
        bytes: encodeFloats(decodeFloats(bytes.slice(), 'float32'), 'bfloat16'),
      });
    await using opened = await openModel(await folders.write(base), { adapter: await save(adapter) });
    const source = opened.source.source(`${q}.weight`);
    expect([source.dtype, opened.source.info(`${q}.weight`)]).toEqual([
      'bfloat16',
      { dtype: 'BF16', shape: [32, 32], bytes: 2048 },
    ]);
    // The base was rounded by 2^-9 of at most 1.5, the result again.
    expectClose(
      decodeFloats(await source.readRows(0, 32), 'bfloat16'),
      floatsOf(merged.tensors.get(`${q}.weight`)!),
      2 ** -7,
    );
  });

  it('so that what is written has it, and says so', async () => {
    const base = await randomModel();
    const { adapter, merged } = adapted(base, { [q]: { scale: 2 } });
    const [folder, lora] = [await folders.write(base), await save(adapter)];
    const out = folders.vacant();
    const options = { backend: 'reference', out } as const;
    const { merged: told } = await dropModules(folder, { ...options, drops: { mlp: [2] }, adapter: lora });
    expect(told).toBe(`the LoRA adapter ${lora} is merged into 1 weight`);
    const expected = folders.vacant();
    await dropModules(await folders.write(merged), { ...options, out: expected, drops: { mlp: [2] } });
    expectClose(await logits(out), await logits(expected), bound);

    const exported = folders.vacant();
    await exportModel(out, { to: 'hf', zero: true, out: exported, backend: 'reference' });
    expect(readFileSync(join(exported, 'README.md'), 'utf8')).toContain(`## What was merged\n\n- ${told}\n`);

    const int4 = folders.vacant();
    const record = await quantizeCheckpoint(folder, {
      ...options,
      out: int4,
      method: 'rtn',
      groupSize: -1,
      adapter: lora,
    });
    expect(record.merged).toBe(told);
    const plainInt4 = folders.vacant();
    await quantizeCheckpoint(await folders.write(merged), { ...options, out: plainInt4, method: 'rtn', groupSize: -1 });
    // Integers are the same but where a value lay between two.
    expectClose(await logits(int4), await logits(plainInt4), 0.05);
  });
});

describe('a LoRA adapter that PEFT saved', () => {
  /** Made by test/oracle/make_adapter_goldens.py. */
  const fixtures = new URL('../fixtures/adapters/', import.meta.url).pathname;
  const { tokens, logits: expected } = JSON.parse(readFileSync(join(fixtures, 'logits.json'), 'utf8')) as {
    tokens: number[];
    logits: Record<string, number[]>;
  };
  it.each(Object.keys(expected))('gives its logits: %s', async (name) => {
    const merged = await logitsWith(join(fixtures, 'base'), join(fixtures, name), tokens);
    // Logits of at most 30, in float32 and rounded to six decimals.
    expectClose(merged, Float32Array.from(expected[name]), bound);
  });
});

describe('a LoRA adapter is refused', () => {
  const refused = async (
    says: string | RegExp,
    change: (adapter: Adapter, base: FolderModel) => void,
    tie = false,
  ): Promise<void> => {
    const base = await randomModel();
    if (tie) {
      base.config.tie_word_embeddings = true;
      base.tensors.delete('lm_head.weight');
    }
    const { adapter } = adapted(base, { [q]: { scale: 2 } });
    change(adapter, base);
    await expect(openModel(await folders.write(base), { adapter: await save(adapter) })).rejects.toThrow(says);
  };
  const lora = (part: string): string => `base_model.model.${q}.lora_${part}.weight`;

  it.each<[string, Record<string, unknown>, string]>([
    ['of another method', { peft_type: 'IA3' }, 'adapters of peft_type "IA3" are not merged'],
    [
      'that changed the weights at its beginning',
      { init_lora_weights: 'pissa_niter_4' },
      'init_lora_weights "pissa_niter_4"',
    ],
    ['of transposed weights', { fan_in_fan_out: true }, 'fan_in_fan_out true'],
    ['with layers that are repeated', { layer_replication: [[0, 2]] }, 'layer_replication'],
    ['with biases of its factors', { lora_bias: true }, 'lora_bias true'],
    ['with a key that nobody knows', { use_turbo: true }, 'use_turbo true'],
    [
      'with a pattern that is more than a name',
      { rank_pattern: { '.*q_proj': 4 } },
      'the pattern ".*q_proj" of rank_pattern',
    ],
    ['of another rank', { r: 8 }, `lora_A.weight is [4,32], expected [8,32] beside ${q}.weight [32,32] and the rank 8`],
    [
      'whose magnitudes are missing',
      { use_dora: true },
      'lora_magnitude_vector is missing, but use_dora of adapter_config.json is true',
    ],
  ])('%s', (_, config, says) => refused(says, (adapter) => Object.assign(adapter.config, config)));

  it('whose target the model does not have', () =>
    refused('adapts model.layers.7.self_attn.q_proj.weight, which', ({ tensors }) => {
      for (const part of ['A', 'B']) tensors.set(lora(part).replace('.0.', '.7.'), tensors.get(lora(part))!);
    }));
  it('of another shape', () =>
    refused('is [4,16], expected [4,32]', ({ tensors }) => tensors.set(lora('A'), f32([4, 16], numbers(64, 1)))));
  it('of which half is missing', () => refused('lora_B is missing', ({ tensors }) => tensors.delete(lora('B'))));
  it('with tensors of another kind', () =>
    refused('embed_tokens.lora_embedding_A is not merged', ({ tensors }) =>
      tensors.set('base_model.model.model.embed_tokens.lora_embedding_A', f32([4, 40], numbers(160, 1))),
    ));
  it('that is not finite', async () => {
    const base = await randomModel();
    const { adapter } = adapted(base, { [q]: { scale: 2 } });
    adapter.tensors.set(lora('A'), f32([4, 32], numbers(128, 1).fill(NaN, 5, 6)));
    await expect(logitsWith(await folders.write(base), await save(adapter))).rejects.toThrow('lora_A.weight holds NaN');
  });
  it('that replaces an embedding which is the output projection too', () =>
    refused(
      'which is the output projection too',
      ({ tensors }, base) =>
        tensors.set('base_model.model.model.embed_tokens.weight', base.tensors.get('model.embed_tokens.weight')!),
      true,
    ));
  it('for weights in 4 bits', async () => {
    const base = await randomModel();
    const { adapter } = adapted(base, { [q]: { scale: 2 } });
    const folder = await folders.write(packedModel(base, 'gptq').model);
    await expect(openModel(folder, { adapter: await save(adapter) })).rejects.toThrow(
      `${q}.weight is stored in 4 bits`,
    );
  });
  it('where no weights are written', async () => {
    const base = await randomModel();
    const [folder, adapter] = [await folders.write(base), await save(adapted(base, { [q]: { scale: 2 } }).adapter)];
    const drop = { drops: { mlp: [2] }, out: folders.vacant(), configOnly: true, adapter };
    await expect(dropModules(folder, drop)).rejects.toThrow('of which `configOnly` writes none');
  });
  it('whose folder holds none, or a pickle', async () => {
    const folder = await folders.write(await randomModel());
    await expect(openModel(folder, { adapter: folder })).rejects.toThrow(
      'is not an adapter: it has no adapter_config.json',
    );
    const lora = await save(adapted(await randomModel(), { [q]: { scale: 2 } }).adapter);
    renameSync(join(lora, 'adapter_model.safetensors'), join(lora, 'adapter_model.bin'));
    await expect(openModel(folder, { adapter: lora })).rejects.toThrow(
      'holds adapter_model.bin: a Python pickle, which is never opened',
    );
  });
});

describe('a LoRA adapter is never passed over', () => {
  it('beside the weights of a model', async () => {
    const base = await randomModel();
    const { adapter, merged } = adapted(base, { [q]: { scale: 2 } });
    const folder = await folders.write(base);
    await save(adapter, folder);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([
      `${folder} holds an adapter beside the weights (adapter_config.json), which is not merged into them: \`adapter\` ${folder} merges it`,
    ]);
    await using with_ = await openModel(folder, { adapter: folder });
    expect(with_.notes).toEqual([`the LoRA adapter ${folder} is merged into 1 weight`]);
    expectClose(await logitsWith(folder, folder), await logits(await folders.write(merged)), bound);
  });

  it.each([true, false])('in place of a model (with a config: %s)', async (withConfig) => {
    const base = await randomModel();
    const folder = await folders.write(base);
    await save(adapted(base, { [q]: { scale: 2 } }).adapter, folder);
    rmSync(join(folder, 'model.safetensors'));
    if (!withConfig) rmSync(join(folder, 'config.json'));
    await expect(openModel(folder)).rejects.toThrow(
      `${folder} is not a model, but an adapter for one, of the model "org/base" (give that model, and the adapter with \`adapter\` ${folder})`,
    );
  });
});
