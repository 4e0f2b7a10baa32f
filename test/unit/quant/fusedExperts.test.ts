/** Experts that a file holds in one tensor are quantized as those of a file that has them apart. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openCheckpoint } from '../../../src/checkpoint/index.js';
import { Model, openModel, type PartialConfig } from '../../../src/models/index.js';
import {
  quantizeMethods,
  quantizeModel,
  quantizedSize,
  writeQuantized,
  type QuantizeMethod,
  type QuantizedSize,
} from '../../../src/quant/index.js';
import { folderLogits, workplace, writeFused, writeRandomFolder } from '../export/randomFolder.js';

const place = workplace();
const mixtral: PartialConfig = {
  modelType: 'mixtral',
  vocabSize: 60,
  hiddenSize: 64,
  intermediateSize: 96,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  maxPositionEmbeddings: 64,
  numLocalExperts: 3,
  numExpertsPerTok: 2,
};
const rows = Array.from({ length: 4 }, (_, row) =>
  Int32Array.from({ length: 24 }, (__, i) => (i * i * (row + 3)) % 60),
);
const groups = { groupSize: 32, symmetric: true } as const;

async function quantized(folder: string, out: string, method: QuantizeMethod): Promise<QuantizedSize> {
  await using opened = await openModel(folder);
  const { source, description } = opened;
  using model = new Model(place.engine(), description, source);
  await using made = await quantizeModel(model, rows, { ...groups, method, expertFloor: 4 });
  const { replaced } = made;
  await writeQuantized(opened, out, { format: 'compressed-tensors', ...groups, replaced });
  return quantizedSize(source, description, model.drops, replaced, groups);
}

describe.each([{}, { drop_mlp_list: [1] }])('drops %j', (extra) => {
  it.each(quantizeMethods)('%s', async (method) => {
    const [apart, fused] = [place.folder('apart'), place.folder('fused')];
    await writeRandomFolder(apart, mixtral, { extra });
    await writeFused(apart, fused, extra);
    const outs = [place.folder('from-apart'), place.folder('from-fused')];
    const sizes = [await quantized(apart, outs[0], method), await quantized(fused, outs[1], method)];
    expect(sizes[1]).toEqual(sizes[0]);

    const [first, second] = await Promise.all(outs.map((out) => openCheckpoint(out)));
    expect(second.tensorNames().sort()).toEqual(first.tensorNames().sort());
    expect(second.tensorNames().filter((name) => second.int4(name))).toHaveLength(
      2 * 4 + (extra.drop_mlp_list ? 9 : 18),
    );
    expect(second.config).toEqual(first.config);
    await Promise.all([first.close(), second.close()]);
    expect(await folderLogits(place.engine(), outs[1], [3, 1, 4, 1, 5])).toEqual(
      await folderLogits(place.engine(), outs[0], [3, 1, 4, 1, 5]),
    );
    const files = await Promise.all(outs.map((out) => readFile(join(out, 'model.safetensors'))));
    expect(files[1]).toHaveLength(files[0].length);
  });
});
