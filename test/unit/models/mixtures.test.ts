import { describe, expect, it } from 'vitest';
import type { JsonObject } from '../../../src/checkpoint/index.js';
import { allWeights, describeModel, tensorNames, type MixtureDescription } from '../../../src/models/index.js';

const sizes = {
  ...{ vocab_size: 64, hidden_size: 32, intermediate_size: 48, num_hidden_layers: 6, num_attention_heads: 4 },
  ...{ num_key_value_heads: 2, moe_intermediate_size: 8 },
};
const describedOf = (keys: JsonObject) => describeModel({ ...sizes, ...keys }, 'config.json');
const qwen2 = { model_type: 'qwen2_moe', num_experts: 5, num_experts_per_tok: 2, shared_expert_intermediate_size: 24 };
const qwen3 = { model_type: 'qwen3_moe', num_experts: 5, num_experts_per_tok: 2 };
const deepseek = { model_type: 'deepseek', n_routed_experts: 5, num_experts_per_tok: 2 };
const kinds = (keys: JsonObject): string =>
  describedOf(keys)
    .layers.map(({ mlp }) => mlp.kind[0])
    .join('');
const mixtureOf = (keys: JsonObject): MixtureDescription =>
  describedOf(keys)
    .layers.map(({ mlp }) => mlp)
    .find((mlp) => mlp.kind === 'mixture')!;

it.each<[JsonObject, string]>([
  [qwen3, 'mmmmmm'],
  [{ ...qwen3, decoder_sparse_step: 2 }, 'gmgmgm'],
  [{ ...qwen3, decoder_sparse_step: 2, mlp_only_layers: [3, 4] }, 'gmgggm'],
  [{ ...qwen2, mlp_only_layers: [0] }, 'gmmmmm'],
  [deepseek, 'mmmmmm'],
  [{ ...deepseek, first_k_dense_replace: 1 }, 'gmmmmm'],
  [{ ...deepseek, first_k_dense_replace: 1, moe_layer_freq: 2 }, 'ggmgmg'],
  [{ model_type: 'deepseek' }, 'gggggg'],
])('layers of %j are dense (g) or mixtures (m): %s', (keys, expected) => expect(kinds(keys)).toBe(expected));

it('a dense layer among mixtures is of the width of dense ones, an expert of its own', () => {
  const { layers } = describedOf({ ...qwen3, decoder_sparse_step: 2 });
  expect(layers.map(({ mlp }) => mlp.intermediateSize)).toEqual([48, 8, 48, 8, 48, 8]);
});

describe('the weights of the chosen experts', () => {
  it.each<[JsonObject, Partial<MixtureDescription>]>([
    [qwen3, { normalise: false }],
    [{ ...qwen3, norm_topk_prob: true }, { normalise: true }],
    [
      { ...deepseek, norm_topk_prob: true, routed_scaling_factor: 2.5 },
      { normalise: true, scale: 2.5 },
    ],
    // A single expert keeps its weight.
    [{ ...deepseek, norm_topk_prob: true, num_experts_per_tok: 1 }, { normalise: false }],
  ])('of %j are taken as %j', (keys, expected) => expect(mixtureOf(keys)).toMatchObject(expected));

  it('are of a softmax', () =>
    expect(() => describedOf({ ...deepseek, scoring_func: 'sigmoid' })).toThrow(
      'config.json: scoring_func must be "softmax"',
    ));
});

describe('a shared expert', () => {
  const shared = (keys: JsonObject): string[] =>
    mixtureOf(keys).shared!.weights.map(
      ({ role, shape, names }) => `${role} [${shape.join()}] ${names.hf} = ${names.gguf}`,
    );

  it('of Qwen2-MoE is weighed by a gate of its own', () =>
    expect(shared(qwen2)).toEqual([
      'router [1,32] model.layers.*.mlp.shared_expert_gate.weight = blk.*.ffn_gate_inp_shexp.weight',
      'gate [24,32] model.layers.*.mlp.shared_expert.gate_proj.weight = blk.*.ffn_gate_shexp.weight',
      'up [24,32] model.layers.*.mlp.shared_expert.up_proj.weight = blk.*.ffn_up_shexp.weight',
      'output [32,24] model.layers.*.mlp.shared_expert.down_proj.weight = blk.*.ffn_down_shexp.weight',
    ]));

  it('of DeepSeek-MoE is as wide as several experts', () =>
    expect(shared({ ...deepseek, n_shared_experts: 3 })).toEqual([
      'gate [24,32] model.layers.*.mlp.shared_experts.gate_proj.weight = blk.*.ffn_gate_shexp.weight',
      'up [24,32] model.layers.*.mlp.shared_experts.up_proj.weight = blk.*.ffn_up_shexp.weight',
      'output [32,24] model.layers.*.mlp.shared_experts.down_proj.weight = blk.*.ffn_down_shexp.weight',
    ]));

  it('is none where the config has none', () => {
    expect(mixtureOf(deepseek).shared).toBeUndefined();
    expect(allWeights(describedOf(deepseek)).flatMap(tensorNames).join()).not.toContain('shared');
  });
});

it.each(['num_experts', 'num_local_experts'])("experts are counted by %s, as in transformers' own files", (key) => {
  const { num_experts: _, ...keys } = qwen3;
  expect(mixtureOf({ ...keys, [key]: 7 }).experts).toBe(7);
});

it('a window of 0, as transformers writes one that is switched off, is none', () =>
  expect(describedOf({ ...qwen2, sliding_window: 0 }).layers[0].attention.window).toBeUndefined());

it.each([
  [{ ...qwen3, mlp_only_layers: 3 }, 'config.json: mlp_only_layers must be a list of layers, found 3'],
  [{ ...qwen3, num_experts_per_tok: 6 }, 'config.json: num_experts_per_tok is 6, but there are 5 experts'],
])('%j is refused', (keys, message) => expect(() => describedOf(keys)).toThrow(message));

it('latent attention is refused by name', () =>
  expect(() => describedOf({ model_type: 'deepseek_v2', kv_lora_rank: 20 })).toThrow(
    /^config\.json: model type "deepseek_v2" is not supported: its attention keeps one latent vector of each token in place of keys and values, which is not computed here/,
  ));
