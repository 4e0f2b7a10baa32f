import { readConfig } from '../config.js';
import type { LayerDescription } from '../description.js';
import type { Family } from './family.js';
import { switchedWindow } from './layerWindows.js';
import { expertCounts, expertNames, mixture, sparseKeys, sparseLayers } from './mixtures.js';
import { ggufOf, qwen3MoeGguf } from './mixtureGguf.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Qwen3-MoE (Qwen Team, 2025): Qwen3's attention, and a sparse mixture of gated experts in place of most MLPs. */
export const qwen3Moe: Family = {
  types: ['qwen3_moe'],
  defaults: {
    ...{ vocab_size: 151936, hidden_size: 2048, intermediate_size: 6144, num_hidden_layers: 24 },
    ...{ num_attention_heads: 32, num_key_value_heads: 4, max_position_embeddings: 32768 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000, sliding_window: 4096 },
    ...{ decoder_sparse_step: 1, num_experts: 128, num_experts_per_tok: 8, moe_intermediate_size: 768 },
  },
  varies: ['numLocalExperts', 'numExpertsPerTok'],
  ownKeys: () => ({ moe_intermediate_size: 6, norm_topk_prob: true }),
  gguf: {
    architectures: ['qwen3moe'],
    experts: true,
    keys: (file) => ({
      num_experts: file.number('expert_count'),
      moe_intermediate_size: file.number('expert_feed_forward_length'),
      norm_topk_prob: true,
    }),
  },
  describe: (read) => {
    const { experts, topK, said } = expertCounts(read, 'num_experts');
    const config = readConfig(read, {
      ...{ mlpBias: false, numLocalExperts: experts, numExpertsPerTok: topK },
      ...switchedWindow(read),
    });
    const activation = readActivation(read);
    const routed = {
      ...{ experts, topK, activation, normalise: read.flag('norm_topk_prob') },
      intermediateSize: read.count('moe_intermediate_size'),
    };
    const layers: LayerDescription[] = sparseLayers(read, config).map((sparse, layer) => ({
      attention: groupedAttention(config, layer, { window: config.slidingWindow, queryKeyNorm: 'head' }),
      mlp: sparse ? mixture(config, layer, expertNames, routed) : gatedMlp(config, layer, activation),
    }));
    return {
      config,
      ...vocabulary(config),
      layers,
      conventions: {
        architecture: 'Qwen3MoeForCausalLM',
        head: 'lm_head',
        gguf: ggufOf(
          layers,
          { architecture: 'qwen3moe', rotaryPairs: false, ...qwen3MoeGguf },
          { architecture: 'qwen3', rotaryPairs: false },
        ),
        experts: said,
        mixtureKeys: sparseKeys,
      },
    };
  },
};
