/** Models whose projections are of 8 bits with scales beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { GgufFile } from '../../src/checkpoint/index.js';
import { exportModel } from '../../src/export/index.js';
import { dropModules } from '../../src/jobs/index.js';
import { openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, logits, randomModel } from './modelFolder.js';
import { scaledModel } from './scaledModel.js';

const folders = new Folders();

describe('a model of 8 bits', () => {
  it('runs as the floats that it stands for, and says so', async () => {
    const { model, floats } = scaledModel(await randomModel());
    const folder = await folders.write(model);
    await using opened = await openModel(folder);
    expect(opened.notes).toEqual([
      'weights in 8 bits are read as float32, and activations are not rounded: 21 of int8 with a scale for each row',
    ]);
    expectClose(await logits(folder), await logits(await folders.write(floats)), 0);
  });

  it('is written as floats, without its config', async () => {
    const { model, floats } = scaledModel(await randomModel());
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
    const gguf = `${folders.vacant()}.gguf`;
    await exportModel(folder, { to: 'gguf', out: gguf, backend: 'reference' });
    await using file = await GgufFile.open(gguf);
    expect(file.type('blk.1.ffn_up.weight')).toBe('F32');
  });

  it('is refused by name where some of its weights have no scales', async () => {
    const { model } = scaledModel(await randomModel());
    model.tensors.delete('model.layers.1.mlp.up_proj.weight_scale');
    await expect(openModel(await folders.write(model))).rejects.toThrow(
      'model.layers.1.mlp.up_proj.weight is I8 [64,32], and its scales are missing',
    );
  });

  it('is refused by name where no config says what it is', async () => {
    const { model } = scaledModel(await randomModel());
    delete model.config.quantization_config;
    await expect(openModel(await folders.write(model))).rejects.toThrow(/proj\.weight is I8, but a weight must be/);
  });
});
