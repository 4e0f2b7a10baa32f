import { readConfig } from '../config.js';
import type { LayerDescription } from '../description.js';
import type { Family } from './family.js';
import { slidingWindows, switchedWindow } from './layerWindows.js';
import { expertCounts, expertNames, mixture, sparseKeys, sparseLayers } from './mixtures.js';
import { ggufOf, qwen2MoeGguf } from './mixtureGguf.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Qwen2-MoE (Qwen Team, 2024): Qwen2's attention, and experts beside a shared one that a gate of its own weighs. */
export const qwen2Moe: Family = {
  types: ['qwen2_moe'],
  defaults: {
    ...{ vocab_size: 151936, hidden_size: 2048, intermediate_size: 5632, num_hidden_layers: 24 },
    ...{ num_attention_heads: 16, num_key_value_heads: 16, max_position_embeddings: 32768 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000, qkv_bias: true },
    ...{ sliding_window: 4096, max_window_layers: 28, decoder_sparse_step: 1 },
    ...{ num_experts: 60, num_experts_per_tok: 4 },
    ...{ moe_intermediate_size: 1408, shared_expert_intermediate_size: 5632 },
  },
  varies: ['numLocalExperts', 'numExpertsPerTok'],
  ownKeys: () => ({ moe_intermediate_size: 6, shared_expert_intermediate_size: 10 }),
  gguf: {
    architectures: ['qwen2moe'],
    experts: true,
    keys: (file) => ({
      num_experts: file.number('expert_count'),
      moe_intermediate_size: file.number('expert_feed_forward_length'),
      shared_expert_intermediate_size: file.number('expert_shared_feed_forward_length'),
    }),
  },
  describe: (read) => {
    const { experts, topK, said } = expertCounts(read, 'num_experts');
    const config = readConfig(read, {
      ...{ attentionBias: false, mlpBias: false, numLocalExperts: experts, numExpertsPerTok: topK },
      ...switchedWindow(read),
    });
    const activation = readActivation(read);
    const first = read.number('max_window_layers');
    const { windows, layerKeys } = slidingWindows(read, config, (layer) => layer % 2 === 0 && layer < first);
    const sparse = sparseLayers(read, config);
    const routed = {
      ...{ experts, topK, activation, normalise: read.flag('norm_topk_prob') },
      intermediateSize: read.count('moe_intermediate_size'),
      shared: {
        intermediateSize: read.count('shared_expert_intermediate_size'),
        name: 'mlp.shared_expert',
        router: 'mlp.shared_expert_gate',
      },
    };
    const bias = read.flag('qkv_bias') ? 'inputs' : 'none';
    const layers: LayerDescription[] = windows.map((window, layer) => ({
      attention: groupedAttention(config, layer, { window, bias }),
      mlp: sparse[layer] ? mixture(config, layer, expertNames, routed) : gatedMlp(config, layer, activation),
    }));
    return {
      config,
      ...vocabulary(config),
      layers,
      conventions: {
        architecture: 'Qwen2MoeForCausalLM',
        head: 'lm_head',
        gguf: ggufOf(
          layers,
          { architecture: 'qwen2moe', rotaryPairs: false, ...qwen2MoeGguf },
          { architecture: 'qwen2', rotaryPairs: false },
        ),
        experts: said,
        mixtureKeys: sparseKeys,
        layerKeys,
      },
    };
  },
};
