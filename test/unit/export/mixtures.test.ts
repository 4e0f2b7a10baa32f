/** Exports of mixtures: which layers have experts is said for the layers that are left, or refused. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/checkpoint/index.js';
import { exportModel, type ExportOptions } from '../../../src/export/index.js';
import type { PartialConfig } from '../../../src/models/index.js';
import { readMiniGguf } from './miniGguf.js';
import { writeRandomFolder } from './randomFolder.js';

const root = mkdtempSync(join(tmpdir(), 'llm-drop-mixtures-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const small = (modelType: string, familyKeys: JsonObject): PartialConfig => ({
  ...{ modelType, vocabSize: 320, hiddenSize: 32, intermediateSize: 24, numHiddenLayers: 4, numAttentionHeads: 4 },
  ...{ numLocalExperts: 3, numExpertsPerTok: 2 },
  familyKeys: { moe_intermediate_size: 8, ...familyKeys },
});
const qwen2 = small('qwen2_moe', { shared_expert_intermediate_size: 12 });
const qwen3 = small('qwen3_moe', { norm_topk_prob: true });
const deepseek = small('deepseek', { n_shared_experts: 2, first_k_dense_replace: 2 });

let count = 0;
async function exported(config: PartialConfig, options: Partial<ExportOptions>, dropped: number[]): Promise<string> {
  const folder = join(root, `model${++count}`);
  await writeRandomFolder(folder, config, { extra: { drop_attn_list: dropped, drop_mlp_list: dropped } });
  const out = join(root, options.to === 'gguf' ? `out${count}.gguf` : `out${count}`);
  await exportModel(folder, { to: 'hf', out, ...options });
  return out;
}

it.each<[PartialConfig, number[], JsonObject]>([
  [
    qwen2,
    [1],
    { 'qwen2moe.block_count': 3, 'qwen2moe.expert_count': 3, 'qwen2moe.expert_shared_feed_forward_length': 12 },
  ],
  [qwen3, [], { 'qwen3moe.expert_used_count': 2, 'qwen3moe.expert_feed_forward_length': 8 }],
  [deepseek, [0], { 'deepseek.leading_dense_block_count': 1, 'deepseek.expert_shared_count': 2 }],
])('GGUF of $modelType without blocks %j says %j', async (config, dropped, keys) => {
  const { metadata } = readMiniGguf(await exported(config, { to: 'gguf' }, dropped));
  expect(metadata).toMatchObject(keys);
});

it.each<[PartialConfig, string]>([
  [
    small('qwen3_moe', { norm_topk_prob: false }),
    "qwen3moe that the weights of a token's experts are divided by their sum",
  ],
  [{ ...qwen2, tieWordEmbeddings: true }, 'qwen2moe that the head is not the embedding'],
  [{ ...qwen2, headDim: 16 }, 'qwen2moe that all heads together are as wide as the stream'],
  [{ ...deepseek, headDim: 16 }, 'deepseek that all heads together are as wide as the stream'],
])('GGUF of %# that llama.cpp takes otherwise is refused', async (config, what) => {
  await expect(exported(config, { to: 'gguf' }, [])).rejects.toThrow(
    `llama.cpp takes for granted of a ${what}, which is not so here`,
  );
});

it.each<[PartialConfig, number[], JsonObject]>([
  [small('qwen3_moe', { decoder_sparse_step: 2 }), [1], { decoder_sparse_step: 1, mlp_only_layers: [0, 1] }],
  [deepseek, [1], { first_k_dense_replace: 1 }],
])('a plain $modelType without blocks %j says %j', async (config, dropped, keys) => {
  const out = await exported(config, {}, dropped);
  expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8'))).toMatchObject(keys);
});
