import { readConfig } from '../config.js';
import { partialRotaryFactor } from '../rope.js';
import type { Family } from './family.js';
import { unlikeFullHeads } from './ggufAssumptions.js';
import { layerWindows } from './layerWindows.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Phi-3 to Phi-4-mini (Microsoft, 2024): a Llama whose projections are fused, and of whose heads a part may turn. */
export const phi3: Family = {
  types: ['phi3'],
  defaults: {
    ...{ vocab_size: 32064, hidden_size: 3072, intermediate_size: 8192, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, max_position_embeddings: 4096, original_max_position_embeddings: 4096 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 10000 },
  },
  varies: ['slidingWindow'],
  gguf: {
    architectures: ['phi3'],
    keys: (file) => ({ sliding_window: file.optionalNumber('attention.sliding_window') || null }),
  },
  describe: (read) => {
    read.optionalCount('original_max_position_embeddings'); // said also where nothing is stretched
    for (const key of ['full_attn_mod', 'interpolate_factor'])
      if ((read.value(key) ?? 1) !== 1) read.fail(`${key} must be 1`);
    const config = readConfig(read, { attentionBias: false, mlpBias: false });
    const activation = readActivation(read);
    const turning = Math.trunc(config.headDim * partialRotaryFactor(read));
    return {
      config,
      ...vocabulary(config),
      layers: layerWindows(read, config).map((window, layer) => ({
        attention: groupedAttention(config, layer, {
          window,
          fused: { hf: 'self_attn.qkv_proj', gguf: 'attn_qkv' },
          ...(turning < config.headDim && { rotaryDim: turning }),
        }),
        mlp: gatedMlp(config, layer, activation, { fused: { hf: 'mlp.gate_up_proj', gguf: 'ffn_up' } }),
      })),
      conventions: {
        architecture: 'Phi3ForCausalLM',
        head: 'lm_head',
        gguf: { architecture: 'phi3', rotaryPairs: false, longFactors: true, unlike: unlikeFullHeads },
      },
    };
  },
};
