import { readConfig } from '../config.js';
import type { Family } from './family.js';
import { anyOf, unlikeFullHeads, unlikeUnbiased, unlikeUntied } from './ggufAssumptions.js';
import type { Norms } from './norms.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

const norms: Norms = { at: 'after' };

const unlike = anyOf(unlikeFullHeads, unlikeUntied, unlikeUnbiased);

/** OLMo 2 (Ai2, 2024): norms only behind the modules, and of all queries, and all keys, together. */
export const olmo2: Family = {
  types: ['olmo2'],
  defaults: {
    ...{ vocab_size: 50304, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, max_position_embeddings: 2048 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-5, rope_theta: 10000 },
  },
  varies: ['attentionBias'],
  gguf: { architectures: ['olmo2'] },
  describe: (read) => {
    const config = readConfig(read, { mlpBias: false, slidingWindow: undefined });
    const activation = readActivation(read);
    return {
      config,
      ...vocabulary(config),
      layers: Array.from({ length: config.numHiddenLayers }, (_, layer) => ({
        attention: groupedAttention(config, layer, { norms, queryKeyNorm: 'all' }),
        mlp: gatedMlp(config, layer, activation, { norms }),
      })),
      conventions: {
        architecture: 'Olmo2ForCausalLM',
        head: 'lm_head',
        gguf: { architecture: 'olmo2', rotaryPairs: false, unlike },
      },
    };
  },
};
