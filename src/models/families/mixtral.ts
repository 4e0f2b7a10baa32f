import { readConfig } from '../config.js';
import { layerWindows } from './layerWindows.js';
import type { Family } from './family.js';
import { mixture } from './mixtures.js';
import { groupedAttention, readActivation, vocabulary } from './parts.js';

/** Names of the files; newer versions of transformers call them otherwise in memory, and write these. */
const names = {
  router: 'block_sparse_moe.gate.weight',
  gate: 'block_sparse_moe.experts.#.w1.weight',
  up: 'block_sparse_moe.experts.#.w3.weight',
  down: 'block_sparse_moe.experts.#.w2.weight',
};

/** Mixtral (Jiang et al., 2024): Mistral's attention, and a sparse mixture of gated experts in place of the MLP. */
export const mixtral: Family = {
  types: ['mixtral'],
  defaults: {
    ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 131072 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 1e6 },
    ...{ num_local_experts: 8, num_experts_per_tok: 2 },
  },
  varies: ['slidingWindow', 'numLocalExperts', 'numExpertsPerTok'],
  gguf: {
    architectures: ['llama'],
    experts: true,
    keys: (file) => ({ num_local_experts: file.number('expert_count') }),
  },
  describe: (read) => {
    const [experts, topK] = [read.experts('num_local_experts'), read.count('num_experts_per_tok')];
    const config = readConfig(read, {
      numLocalExperts: experts,
      numExpertsPerTok: topK,
    });
    const activation = readActivation(read);
    const windows = layerWindows(read, config);
    return {
      config,
      ...vocabulary(config),
      layers: windows.map((window, layer) => ({
        attention: groupedAttention(config, layer, { window }),
        mlp: mixture(config, layer, names, { experts, topK, normalise: true, activation }),
      })),
      conventions: {
        architecture: 'MixtralForCausalLM',
        head: 'lm_head',
        experts: 'num_local_experts',
        gguf: { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
      },
    };
  },
};
