import { readConfig } from '../config.js';
import type { Family } from './family.js';
import { unlikeUnbiased } from './ggufAssumptions.js';
import { slidingWindows, switchedWindow } from './layerWindows.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Qwen3 (Qwen Team, 2025): a Llama whose queries and keys are normed head by head before they turn. */
export const qwen3: Family = {
  types: ['qwen3'],
  defaults: {
    ...{ vocab_size: 151936, hidden_size: 4096, intermediate_size: 22016, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32, head_dim: 128, max_position_embeddings: 32768 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ sliding_window: 4096, max_window_layers: 28 },
  },
  varies: ['attentionBias'],
  gguf: { architectures: ['qwen3'] },
  describe: (read) => {
    const config = readConfig(read, switchedWindow(read));
    const activation = readActivation(read);
    const first = read.number('max_window_layers');
    const { windows, layerKeys } = slidingWindows(read, config, (layer) => layer >= first);
    return {
      config,
      ...vocabulary(config),
      layers: windows.map((window, layer) => ({
        attention: groupedAttention(config, layer, { window, queryKeyNorm: 'head' }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture: 'Qwen3ForCausalLM',
        head: 'lm_head',
        gguf: { architecture: 'qwen3', rotaryPairs: false, unlike: unlikeUnbiased },
        layerKeys,
      },
    };
  },
};
