import { readConfig } from '../config.js';
import type { Conventions } from '../description.js';
import type { Family } from './family.js';
import { anyOf, unlikeFullHeads, unlikeUntied } from './ggufAssumptions.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/**
 * ALiBi's slopes (Press et al., 2022): powers of 2^(-8 / n) for n heads, a power of two; for others those of the next
 * lower power, and then every second one of the next higher.
 */
export function alibiSlopes(heads: number): number[] {
  const whole = 2 ** Math.floor(Math.log2(heads));
  const powers = Array.from({ length: whole }, (_, i) => 2 ** ((-8 * (i + 1)) / whole));
  if (whole === heads) return powers;
  const others = alibiSlopes(2 * whole).filter((_, i) => i % 2 === 0);
  return [...powers, ...others.slice(0, heads - whole)];
}

const unlikeOthers = anyOf(unlikeFullHeads, unlikeUntied);

const unlike: Conventions['gguf']['unlike'] = (layers, model) =>
  layers.length === 40 ? unlikeOthers(layers, model) : 'that one with linear biases has 40 layers';

/** Of Baichuan 2, whose files do not say their generation otherwise. */
const secondVocabulary = 125696;

/**
 * Baichuan (Baichuan Inc., 2023): a Llama whose queries, keys and values are fused. The 7B turns them; the 13B, whose config
 * has no `max_position_embeddings`, has linear biases instead. The head of Baichuan 2 has rows of length 1.
 */
export const baichuan: Family = {
  types: ['baichuan'],
  defaults: {
    ...{ vocab_size: 64000, hidden_size: 5120, intermediate_size: 13696, num_hidden_layers: 40 },
    ...{ num_attention_heads: 40, model_max_length: 4096 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
  },
  varies: [],
  gguf: {
    architectures: ['baichuan'],
    // By the number of layers alone llama.cpp tells the 13B, which has linear biases.
    keys: (file) =>
      file.number('block_count') === 40
        ? { max_position_embeddings: null, model_max_length: file.number('context_length', 4096) }
        : {},
  },
  describe: (read) => {
    const turns = read.optionalCount('max_position_embeddings');
    const config = readConfig(read, {
      maxPositionEmbeddings: turns ?? read.count('model_max_length'),
      attentionBias: false,
      mlpBias: false,
      slidingWindow: undefined,
    });
    const activation = readActivation(read);
    const isSecond = config.vocabSize === secondVocabulary || read.value('z_loss_weight') !== undefined;
    const positions = turns === undefined ? { rope: undefined, slopes: alibiSlopes(config.numAttentionHeads) } : {};
    return {
      config,
      ...vocabulary(config, { headMade: isSecond ? 'unitRows' : undefined }),
      layers: Array.from({ length: config.numHiddenLayers }, (_, layer) => ({
        attention: groupedAttention(config, layer, { ...positions, fused: { hf: 'self_attn.W_pack' } }),
        mlp: gatedMlp(config, layer, activation),
      })),
      conventions: {
        architecture: 'BaichuanForCausalLM',
        head: 'lm_head',
        gguf:
          turns === undefined
            ? {
                architecture: 'baichuan',
                rotaryPairs: true,
                unlike,
              }
            : { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
      },
    };
  },
};
