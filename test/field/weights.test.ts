import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../src/checkpoint/index.js';
import { writeDropped } from '../../src/drop/index.js';
import { exportModel } from '../../src/export/index.js';
import { modelSize, openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import {
  Folders,
  asHalf,
  bound,
  f32,
  logits,
  randomModel,
  tiny,
  tinyMixture,
  zeros,
  type FolderModel,
} from './modelFolder.js';
import { packedModel } from './packedModel.js';

const folders = new Folders();
const dropped = 'drop_attn_list';

/** The same tensors by other names. */
const renamed = (model: FolderModel, name: (old: string) => string): FolderModel => ({
  config: model.config,
  tensors: new Map([...model.tensors].map(([old, stored]) => [name(old), stored])),
});

/** Every door of the library refuses a folder in the same words, and writes nothing. */
async function refusedEverywhere(folder: string, says: RegExp, never = dropped): Promise<void> {
  const out = folders.vacant();
  const doors: (() => Promise<unknown>)[] = [
    () => openModel(folder),
    () => logits(folder),
    () => exportModel(folder, { to: 'hf', out }),
    () => exportModel(folder, { to: 'gguf', out: `${out}.gguf` }),
  ];
  for (const door of doors) {
    const error = await door().then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    );
    expect(error?.name).toBe('UserError');
    expect(error?.message).toMatch(says);
    expect(error?.message).not.toContain(never);
  }
  expect(readdirSync(folders.root).filter((name) => join(folders.root, name).startsWith(out))).toEqual([]);
}

describe('names with a prefix', () => {
  it.each([
    ['a compiled module', '_orig_mod.'],
    ['a distributed one', 'module.'],
    ['an adapted one', 'base_model.model.'],
    ['a part of a larger model', 'language_model.'],
  ])('of %s are shown', async (_, prefix) => {
    const folder = await folders.write(renamed(await randomModel(), (name) => prefix + name));
    await refusedEverywhere(folder, new RegExp(`\`${prefix.replaceAll('.', '\\.')}\``));
  });

  it('in the midst of names are shown', async () => {
    const model = renamed(await randomModel(), (name) => name.replace('self_attn', '_fsdp_wrapped_module.self_attn'));
    await refusedEverywhere(await folders.write(model), /`_fsdp_wrapped_module\.`/);
  });

  it('in the place of another are shown', async () => {
    const model = renamed(await randomModel(), (name) => name.replace(/^model\./, 'model.language_model.'));
    await refusedEverywhere(await folders.write(model), /`model\.language_model\.` in place of `model\.`/);
  });
});

describe('a checkpoint of a base model', () => {
  const base = (model: FolderModel): FolderModel => renamed(model, (name) => name.replace(/^model\./, ''));

  it('loads, and what is written of it has whole names', async () => {
    const model = await randomModel({ ...tiny, tieWordEmbeddings: true });
    const expected = await logits(await folders.write(model));
    const folder = await folders.write(base(model));
    expectClose(await logits(folder), expected, bound);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([expect.stringContaining('lack model.')]);
    expect(opened.source.tensorNames().sort()).toEqual([...model.tensors.keys()].sort());
    const out = folders.vacant();
    await writeDropped(opened, { attention: [1], mlp: [] }, out);
    await using written = await openCheckpoint(out);
    expect(written.tensorNames().sort()).toEqual(
      [...model.tensors.keys()].filter((name) => !/layers\.1\.(self_attn|input_layernorm)/.test(name)).sort(),
    );
  });

  it('in 4 bits loads and is written with whole names', async () => {
    const { model, floats } = packedModel(await randomModel({ ...tiny, tieWordEmbeddings: true }), 'gptq');
    const folder = await folders.write(base(model));
    expectClose(await logits(folder), await logits(await folders.write(floats)), bound);
    const out = folders.vacant();
    await using opened = await openModel(folder);
    await writeDropped(opened, { attention: [], mlp: [] }, out);
    expectClose(await logits(out), await logits(folder), 0);
  });

  it('lacks a head where nothing is tied', async () => {
    const model = base(await randomModel());
    model.tensors.delete('lm_head.weight');
    await refusedEverywhere(await folders.write(model), /lm_head\.weight is missing.*tie_word_embeddings.*false/);
  });
});

describe('heads', () => {
  const tied = { ...tiny, tieWordEmbeddings: true };
  const table = 'model.embed_tokens.weight';

  it('that repeat the embedding are left out', async () => {
    const model = await randomModel(tied);
    const expected = await logits(await folders.write(model));
    model.tensors.set('lm_head.weight', model.tensors.get(table)!);
    const folder = await folders.write(model);
    expectClose(await logits(folder), expected, 0);
    await using opened = await openModel(folder);
    expect(opened.source.has('lm_head.weight')).toBe(false);
    expect(opened.notes).toEqual([expect.stringContaining('lm_head.weight is the embedding again')]);
  });

  it.each(['everywhere', 'in the last value'])('that differ from it %s are used, and go along', async (where) => {
    const model = await randomModel(tied);
    const values = new Float32Array(model.tensors.get(table)!.bytes.slice().buffer);
    if (where === 'everywhere') values.forEach((value, i) => (values[i] = -value));
    else values[values.length - 1] += 1;
    model.tensors.set('lm_head.weight', f32([40, 32], values));
    const untied: FolderModel = { ...model, config: { ...model.config, tie_word_embeddings: false } };
    const expected = await logits(await folders.write(untied));
    const folder = await folders.write(model);
    expectClose(await logits(folder), expected, 0);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([expect.stringContaining('lm_head.weight is used')]);
    const out = folders.vacant();
    await exportModel(opened, { to: 'hf', out });
    expectClose(await logits(out), expected, 0);
    await using written = await openCheckpoint(out);
    expect([written.has('lm_head.weight'), written.config.tie_word_embeddings]).toEqual([true, false]);
  });

  it('alone are the embedding, too', async () => {
    const model = await randomModel(tied);
    const expected = await logits(await folders.write(model));
    const folder = await folders.write(renamed(model, (name) => (name === table ? 'lm_head.weight' : name)));
    expectClose(await logits(folder), expected, 0);
  });

  it.each([false, undefined])('that are nowhere are named where the config says %s', async (said) => {
    const model = await randomModel(tied);
    model.config.tie_word_embeddings = said;
    await refusedEverywhere(await folders.write(model), /lm_head\.weight is missing/);
  });
});

describe('tensors that are no weights', () => {
  it('are noted once, not counted and not copied', async () => {
    const { model, floats } = packedModel(await randomModel(), 'gptq');
    const expected = await logits(await folders.write(floats));
    await using plain = await openModel(await folders.write(model));
    for (const name of [...model.tensors.keys()].filter((key) => key.endsWith('.qweight')))
      model.tensors.set(name.replace('qweight', 'bias'), zeros('F16', [model.tensors.get(name)!.shape[1]]));
    for (let i = 0; i < 3; i++) model.tensors.set(`model.layers.${i}.self_attn.rotary_emb.inv_freq`, zeros('F32', [4]));
    const folder = await folders.write(model);
    expectClose(await logits(folder), expected, bound);
    await using opened = await openModel(folder);
    expect(opened.notes).toHaveLength(1);
    expect(opened.notes[0]).toContain('3 model.layers.*.self_attn.q_proj.bias');
    const nothing = { attention: [], mlp: [] };
    expect(modelSize(opened.source, opened.description, nothing)).toEqual(
      modelSize(plain.source, plain.description, nothing),
    );
    const out = folders.vacant();
    await writeDropped(opened, { attention: [2], mlp: [2] }, out);
    await using written = await openCheckpoint(out);
    expect(written.tensorNames().filter((name) => /layers\.2\.|bias|inv_freq/.test(name))).toEqual([]);
    expect(written.tensorNames()).toContain('model.layers.1.self_attn.q_proj.weight');
  });
});

describe('experts of several types', () => {
  it('are each held as stored, also in what is exported', async () => {
    const kept = (module: string): boolean => /layers\.1\..*experts\.3\.w[13]$/.test(module);
    const source = await randomModel(tinyMixture);
    for (const [name, stored] of source.tensors)
      if (kept(name.replace('.weight', ''))) source.tensors.set(name, asHalf(stored));
    const { model, floats } = packedModel(source, 'gptq', { kept });
    const expected = await logits(await folders.write(floats));
    const folder = await folders.write(model);
    expectClose(await logits(folder), expected, bound);
    const out = folders.vacant();
    await exportModel(folder, { to: 'hf', out });
    expectClose(await logits(out), expected, bound);
    await using written = await openCheckpoint(out);
    const types = (name: string): string[] =>
      written.stored(`model.layers.1.block_sparse_moe.experts.${name}.weight`).map(({ dtype }) => dtype);
    expect([types('3.w1'), types('3.w3')]).toEqual([['F16'], ['F16']]);
    expect([types('3.w2')[0], types('2.w1')[0]]).toEqual(['I32', 'I32']);
  });
});

describe('what is missing', () => {
  it('may be a module that was dropped: only then the lists are named', async () => {
    const model = await randomModel();
    for (const name of model.tensors.keys()) if (name.includes('layers.1.self_attn')) model.tensors.delete(name);
    await refusedEverywhere(await folders.write(model), /the attention of layer 1 is not there.*drop_attn_list/, '—');
    model.config.drop_attn_list = [1];
    await expect(openModel(await folders.write(model))).resolves.toMatchObject({ notes: [] });
  });

  it('may be layers that the config alone has', async () => {
    const model = await randomModel();
    model.config.num_hidden_layers = 5;
    await refusedEverywhere(await folders.write(model), /num_hidden_layers of config\.json is 5, but the file holds 3/);
  });

  it('may be packed as no config says', async () => {
    const { model } = packedModel(await randomModel(), 'gptq');
    delete model.config.quantization_config;
    await refusedEverywhere(await folders.write(model), /q_proj\.qweight.*look packed/);
  });

  it('is a tensor of one layer', async () => {
    const model = await randomModel();
    model.tensors.delete('model.layers.1.mlp.up_proj.weight');
    await refusedEverywhere(await folders.write(model), /tensor model\.layers\.1\.mlp\.up_proj\.weight is missing/);
  });
});
