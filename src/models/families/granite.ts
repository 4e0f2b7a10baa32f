import { f32 } from '../../checkpoint/index.js';
import { readConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type { GgufKeys } from '../gguf/ggufKeys.js';
import type { Family } from './family.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Beyond any model's: several are multiplied with each other, in float32. */
const [least, most] = [1e-4, 1e4];

/** A number that is multiplied with; 1 is none. */
function multiplier(read: ConfigReader, key: string): number | undefined {
  const value = read.positive(key);
  if (value < least || value > most) read.fail(`${key} must be between ${least} and ${most}, found ${value}`);
  return value === 1 ? undefined : value;
}

const headSize = (file: GgufKeys): number => file.number('embedding_length') / file.number('attention.head_count');

/** Granite 3 (IBM, 2024): a Llama with multipliers on embeddings, scores, what modules add, and logits. */
export const granite: Family = {
  types: ['granite'],
  defaults: {
    ...{ vocab_size: 32000, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 32 },
    ...{ num_attention_heads: 32, max_position_embeddings: 2048 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ embedding_multiplier: 1, attention_multiplier: 1, residual_multiplier: 1, logits_scaling: 1 },
  },
  varies: ['attentionBias', 'mlpBias'],
  ownKeys: () => ({
    ...{ embedding_multiplier: 6, attention_multiplier: 0.125, residual_multiplier: 0.3, logits_scaling: 4 },
  }),
  gguf: {
    architectures: ['granite'],
    keys: (file) => ({
      embedding_multiplier: file.number('embedding_scale', 1),
      attention_multiplier: file.number(
        'attention.scale',
        (file.optionalNumber('attention.key_length') ?? headSize(file)) ** -0.5,
      ),
      residual_multiplier: file.number('residual_scale', 1),
      logits_scaling: file.number('logit_scale', 1),
    }),
  },
  describe: (read) => {
    const config = readConfig(read, { slidingWindow: undefined });
    const activation = readActivation(read);
    const scale = multiplier(read, 'attention_multiplier') ?? 1;
    const added = multiplier(read, 'residual_multiplier');
    const embeddings = multiplier(read, 'embedding_multiplier');
    const logits = multiplier(read, 'logits_scaling');
    return {
      config,
      ...vocabulary(config, {
        embeddingScale: embeddings,
        scale: logits && 1 / logits,
      }),
      layers: Array.from({ length: config.numHiddenLayers }, (_, layer) => ({
        attention: groupedAttention(config, layer, { scale, multiplier: added }),
        mlp: gatedMlp(config, layer, activation, { multiplier: added }),
      })),
      conventions: {
        architecture: 'GraniteForCausalLM',
        head: 'lm_head',
        gguf: {
          architecture: 'granite',
          rotaryPairs: true,
          metadata: {
            'attention.scale': f32(scale),
            embedding_scale: f32(embeddings ?? 1),
            residual_scale: f32(added ?? 1),
            logit_scale: f32(logits ?? 1),
          },
        },
      },
    };
  },
};
