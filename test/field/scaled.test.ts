/** Models whose projections are of 8 bits with scales beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { exportModel } from '../../src/export/index.js';
import { dropModules } from '../../src/jobs/index.js';
import { openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, copyOf, f32, floatsOf, logits, randomModel, type FolderModel, type Stored } from './modelFolder.js';

const folders = new Folders();

/** Projections as int8 times a scale for each row, and the same model in floats. */
function rounded(base: FolderModel): { model: FolderModel; floats: FolderModel } {
  const [model, floats] = [copyOf(base), copyOf(base)];
  for (const [name, stored] of base.tensors) {
    if (!name.endsWith('_proj.weight')) continue;
    const [out, width] = stored.shape;
    const values = floatsOf(stored);
    const rows = Array.from({ length: out }, (_, row) => values.subarray(row * width, (row + 1) * width));
    const scales = rows.map((row) => Math.fround(Math.max(...row.map(Math.abs)) / 127));
    const q = rows.flatMap((row, i) => [...row].map((value) => Math.round(value / scales[i])));
    const bytes: Stored = { dtype: 'I8', shape: [out, width], bytes: Uint8Array.from(q, (value) => value & 255) };
    model.tensors.set(name, bytes);
    model.tensors.set(`${name}_scale`, f32([out, 1], scales));
    model.tensors.set(name.replace(/weight$/, 'input_scale'), f32([1], [1]));
    floats.tensors.set(
      name,
      f32(
        [out, width],
        q.map((value, i) => value * scales[Math.floor(i / width)]),
      ),
    );
  }
  model.config.quantization_config = {
    quant_method: 'compressed-tensors',
    format: 'int-quantized',
    config_groups: { group_0: { targets: ['Linear'], weights: { num_bits: 8, type: 'int', strategy: 'channel' } } },
    ignore: ['lm_head'],
  };
  model.config.torch_dtype = 'float32';
  return { model, floats };
}

describe('a model of 8 bits', () => {
  it('runs as the floats that it stands for, and says so', async () => {
    const { model, floats } = rounded(await randomModel());
    const folder = await folders.write(model);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([
      'weights in 8 bits are read as float32, and activations are not rounded: 21 of int8 with a scale for each row',
    ]);
    expectClose(await logits(folder), await logits(await folders.write(floats)), 0);
  });

  it('is written as floats, without its config', async () => {
    const { model, floats } = rounded(await randomModel());
    const folder = await folders.write(model);
    const [out, expected, exported] = [folders.vacant(), folders.vacant(), folders.vacant()];
    const drop = { drops: { attention: [1] }, backend: 'reference' } as const;
    await dropModules(folder, { ...drop, out });
    await dropModules(await folders.write(floats), { ...drop, out: expected });
    expectClose(await logits(out), await logits(expected), 0);
    const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as object;
    expect(config).not.toHaveProperty('quantization_config');
    await exportModel(folder, { to: 'hf', out: exported, backend: 'reference' });
    expectClose(await logits(exported), await logits(folder), 0);
  });

  it('is refused by name where some of its weights have no scales', async () => {
    const { model } = rounded(await randomModel());
    model.tensors.delete('model.layers.1.mlp.up_proj.weight_scale');
    await expect(openModel(await folders.write(model))).rejects.toThrow(
      'model.layers.1.mlp.up_proj.weight is I8 [64,32], and its scales are missing',
    );
  });

  it('is refused by name where no config says what it is', async () => {
    const { model } = rounded(await randomModel());
    delete model.config.quantization_config;
    await expect(openModel(await folders.write(model))).rejects.toThrow(/proj\.weight is I8, but a weight must be/);
  });
});
