/** What a mixture without some experts says in its config, and what cannot be made smaller. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { SourceView, type JsonObject } from '../../../src/checkpoint/index.js';
import { fewerExperts, openModel, type ExpertDrops, type PartialConfig } from '../../../src/models/index.js';
import { workplace, writeRandomFolder } from '../export/randomFolder.js';

const { folder: place } = workplace();

const small = (modelType: string, familyKeys: JsonObject = {}): PartialConfig => ({
  ...{ modelType, vocabSize: 40, hiddenSize: 16, intermediateSize: 24, numHiddenLayers: 2, numAttentionHeads: 2 },
  ...{ numLocalExperts: 4, numExpertsPerTok: 2 },
  familyKeys: modelType === 'mixtral' ? {} : { moe_intermediate_size: 8, ...familyKeys },
});

/** The folder of a model, its experts counted by `key`. */
async function folderOf(config: PartialConfig, key: string, extra: JsonObject = {}): Promise<string> {
  const folder = place();
  await writeRandomFolder(folder, config, { extra });
  const path = join(folder, 'config.json');
  const { num_local_experts: experts, ...keys } = JSON.parse(readFileSync(path, 'utf8')) as JsonObject;
  writeFileSync(path, JSON.stringify({ ...keys, [key]: experts }));
  return folder;
}

async function smaller(folder: string, drops: ExpertDrops): ReturnType<typeof fewerExperts> {
  await using opened = await openModel(folder);
  return await fewerExperts(opened, drops);
}

it.each<[string, PartialConfig, string]>([
  ['mixtral', small('mixtral'), 'num_local_experts'],
  ['qwen2_moe', small('qwen2_moe', { shared_expert_intermediate_size: 12 }), 'num_experts'],
  ['qwen3_moe', small('qwen3_moe'), 'num_experts'],
  ['qwen3_moe', small('qwen3_moe'), 'num_local_experts'],
  ['deepseek', small('deepseek', { n_shared_experts: 1 }), 'n_routed_experts'],
])('the config of a %s counts by the key that it had, and has nothing else new', async (_, config, key) => {
  const folder = await folderOf(config, key);
  const { source, description } = await smaller(folder, [[1], [3]]);
  const raw = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as JsonObject;
  expect(source.config).toEqual({ ...raw, [key]: 3 });
  expect(description.config.numLocalExperts).toBe(3);
  const names = source.tensorNames().filter((name) => /experts\.\d/.test(name));
  expect(names).toHaveLength(2 * 3 * 3);
  expect(names.filter((name) => name.includes('experts.3.'))).toEqual([]);
  expect(names.every((name) => source.has(name))).toBe(true);
});

describe('refused is', () => {
  const mixtral = (): Promise<string> => folderOf(small('mixtral'), 'num_local_experts');

  it.each<[string, ExpertDrops, string]>([
    [
      'more than may go',
      [
        [0, 1, 2],
        [0, 1, 2],
      ],
      'without 3 of 4 experts a layer has 1, but each token visits 2 of them',
    ],
    ['another number in each layer', [[0, 1], [0]], '2 and 1 experts of a layer are dropped'],
    ['an expert that there is not', [[4], [0]], 'layer 0 has no expert 4'],
    ['half an expert', [[0.5], [0]], 'layer 0 has no expert 0.5'],
    ['a layer that there is not', [[0], [0], [0]], 'layer 2 has no expert 0'],
  ])('%s', async (_, drops, message) => expect(smaller(await mixtral(), drops)).rejects.toThrow(message));

  it('a tensor whose integers are of all experts', async () => {
    await using opened = await openModel(await mixtral());
    const router = 'model.layers.0.block_sparse_moe.gate.weight';
    class Packed extends SourceView {
      override int4(name: string): ReturnType<SourceView['int4']> {
        return name === router ? ({} as never) : super.int4(name);
      }
    }
    await expect(fewerExperts({ ...opened, source: new Packed(opened.source, {}) }, [[0], [0]])).rejects.toThrow(
      `${router} holds the integers of all experts of a layer, which stay together`,
    );
  });

  it('a model without experts', async () => {
    const folder = place();
    const { numLocalExperts: _, numExpertsPerTok: __, ...dense } = small('mixtral');
    await writeRandomFolder(folder, { ...dense, modelType: 'llama' });
    await expect(smaller(folder, [[0]])).rejects.toThrow('a llama without mixtures has no experts to drop');
  });
});
