import { readConfig } from '../config.js';
import type { ModelDescription } from '../description.js';
import type { ConfigReader } from '../configReader.js';
import { layerWindows } from './layerWindows.js';
import type { Family } from './family.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

const describe =
  (architecture: string, { hasWindow }: { hasWindow: boolean }) =>
  (read: ConfigReader): ModelDescription => {
    if (!hasWindow && read.value('sliding_window') !== undefined)
      read.note(`sliding_window of config.json is not used: a ${read.text('model_type')} has no window`);
    const config = readConfig(read, hasWindow ? {} : { slidingWindow: undefined });
    const activation = readActivation(read);
    const windows = layerWindows(read, config);
    // As programs that read Llama's layers with Qwen2's biases call it.
    const bias = read.flag('qkv_bias') ? 'inputs' : undefined;
    return {
      config,
      ...vocabulary(config),
      layers: windows.map((window, layer) => ({
        attention: groupedAttention(config, layer, { window, bias }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture,
        head: 'lm_head',
        gguf: { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
      },
    };
  };

/** Llama (Touvron et al., 2023): RMS norm, rotary attention with grouped heads, SwiGLU. */
export const llama: Family = {
  types: ['llama'],
  defaults: {
    ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, max_position_embeddings: 2048 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
  },
  varies: ['attentionBias', 'mlpBias'],
  gguf: {
    architectures: ['llama', 'deci'],
    keys: ({ file }) => {
      const has = (end: string): boolean => file.tensorNames().some((name) => name.endsWith(end));
      return has('attn_q.bias') && !has('attn_output.bias') ? { attention_bias: false, qkv_bias: true } : {};
    },
  },
  describe: describe('LlamaForCausalLM', { hasWindow: false }),
};

/** Mistral (Jiang et al., 2023): a Llama whose attention may see a window only. */
export const mistral: Family = {
  types: ['mistral'],
  defaults: {
    ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 14336, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, num_key_value_heads: 8, max_position_embeddings: 131072 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000, sliding_window: 4096 },
  },
  varies: ['slidingWindow'],
  gguf: { architectures: [] },
  describe: describe('MistralForCausalLM', { hasWindow: true }),
};
