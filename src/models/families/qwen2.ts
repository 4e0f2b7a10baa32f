import { readConfig } from '../config.js';
import type { Family } from './family.js';
import { unlikeFullHeads } from './ggufAssumptions.js';
import { slidingWindows, switchedWindow } from './layerWindows.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Qwen2 (Qwen Team, 2024): a Llama whose queries, keys and values have biases. */
export const qwen2: Family = {
  types: ['qwen2'],
  defaults: {
    ...{ vocab_size: 151936, hidden_size: 4096, intermediate_size: 22016, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32, max_position_embeddings: 32768 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ sliding_window: 4096, max_window_layers: 28 },
  },
  varies: [],
  gguf: { architectures: ['qwen2'] },
  describe: (read) => {
    const config = readConfig(read, { attentionBias: false, mlpBias: false, ...switchedWindow(read) });
    const activation = readActivation(read);
    const first = read.number('max_window_layers');
    const { windows, layerKeys } = slidingWindows(read, config, (layer) => layer >= first);
    return {
      config,
      ...vocabulary(config),
      layers: windows.map((window, layer) => ({
        attention: groupedAttention(config, layer, { window, bias: 'inputs' }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture: 'Qwen2ForCausalLM',
        head: 'lm_head',
        gguf: { architecture: 'qwen2', rotaryPairs: false, unlike: unlikeFullHeads },
        layerKeys,
      },
    };
  },
};
