import { readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/models/index.js';
import { expectClose } from '../support/expectClose.js';
import { Folders, logits, randomModel, type FolderModel } from './modelFolder.js';
import { packedModel } from './packedModel.js';

const folders = new Folders();
const shardBytes = 20_000;

/** A folder whose files of weights are called otherwise, within the index too. */
async function written(model: FolderModel, name: string, o: { shardBytes?: number } = {}): Promise<string> {
  const folder = await folders.write(model, o);
  for (const file of readdirSync(folder).filter((one) => one.startsWith('model'))) {
    const path = join(folder, file);
    if (file.endsWith('.json')) writeFileSync(path, readFileSync(path, 'utf8').replaceAll('"model-', `"${name}-`));
    renameSync(path, join(folder, file.replace(/^model/, name)));
  }
  return folder;
}

describe('weights under other names', () => {
  it.each([
    ['one file', 'gptq_model-4bit-128g', {}],
    ['shards and their index', 'gptq_model-4bit-128g', { shardBytes }],
    ['one file that is called a shard', 'model-00001-of-00001', {}],
  ])('are read: %s', async (_, name, o) => {
    const model = await randomModel();
    expectClose(await logits(await written(model, name, o)), await logits(await folders.write(model)), 0);
  });

  it.each(['gptq', 'awq'] as const)('are read: shards of %s', async (method) => {
    const { model } = packedModel(await randomModel(), method);
    const expected = await logits(await folders.write(model));
    expectClose(await logits(await folders.write(model, { shardBytes })), expected, 0);
    expectClose(await logits(await written(model, `${method}_model-4bit-32g`, { shardBytes })), expected, 0);
  });

  it('come after model.safetensors', async () => {
    const [model, other] = [await randomModel(), await randomModel(undefined, 2)];
    const folder = await folders.write(model);
    writeFileSync(
      join(folder, 'other.safetensors'),
      readFileSync(join(await folders.write(other), 'model.safetensors')),
    );
    expectClose(await logits(folder), await logits(await folders.write(model)), 0);
  });

  it('are refused by name where there are several, and no index', async () => {
    const folder = await written(await randomModel(), 'b');
    writeFileSync(join(folder, 'a.safetensors'), readFileSync(join(folder, 'b.safetensors')));
    await expect(openModel(folder)).rejects.toThrow(
      'has no model.safetensors, but a.safetensors, b.safetensors (leave one of them there, or name it model.safetensors)',
    );
  });

  it.each(['model', 'gptq_model-4bit-128g'])(
    'are refused where they are shards without their index: %s',
    async (name) => {
      const folder = await written(await randomModel(), name, { shardBytes });
      rmSync(join(folder, `${name}.safetensors.index.json`));
      await expect(openModel(folder)).rejects.toThrow(`holds ${name}-00001-of-0`);
      await expect(openModel(folder)).rejects.toThrow('but no index that says of which files the model is made');
    },
  );

  it('are refused where one shard alone is there', async () => {
    const folder = await written(await randomModel(), 'model-00001-of-00002');
    await expect(openModel(folder)).rejects.toThrow('but no index');
  });
});

describe('pickles of PyTorch', () => {
  it.each([
    ['one', ['pytorch_model.bin'], 'pytorch_model.bin'],
    [
      'shards and their index',
      ['pytorch_model-00001-of-00002.bin', 'pytorch_model-00002-of-00002.bin', 'pytorch_model.bin.index.json'],
      'pytorch_model-00001-of-00002.bin, pytorch_model-00002-of-00002.bin',
    ],
  ])('are never opened: how to convert them is said: %s', async (_, names, listed) => {
    const folder = await written(await randomModel(), 'x');
    rmSync(join(folder, 'x.safetensors'));
    // Opening it would be told from this.
    for (const name of names) writeFileSync(join(folder, name), 'not a pickle');
    const error = (await openModel(folder).catch((e: unknown) => e)) as Error;
    expect(error.message).toContain(`${folder} has its weights in ${listed}: Python pickles, which are never opened`);
    expect(error.message).toContain(`M.from_pretrained('${folder}', torch_dtype='auto').save_pretrained('NEW')`);
  });

  it('of other programs are for these to convert', async () => {
    const folder = await written(await randomModel(), 'x');
    renameSync(join(folder, 'x.safetensors'), join(folder, 'consolidated.00.pth'));
    await expect(openModel(folder)).rejects.toThrow(
      'consolidated.00.pth: Python pickles, which are never opened (save',
    );
  });

  it('do not matter beside safetensors', async () => {
    const folder = await folders.write(await randomModel());
    const before = await logits(folder);
    for (const name of ['pytorch_model.bin', 'training_args.bin']) writeFileSync(join(folder, name), 'not a pickle');
    expectClose(await logits(folder), before, 0);
  });
});
