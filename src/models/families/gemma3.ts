import { f32, u32 } from '../../checkpoint/index.js';
import { readConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import { parseRope, type RopeParameters } from '../rope.js';
import type { Family } from './family.js';
import { anyOf, unlikeGemma, unlikeUnbiased } from './ggufAssumptions.js';
import { layerTypes, slidingLayers } from './layerWindows.js';
import type { Norms } from './norms.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Gemma's: two around each module, with gains that are stored less 1. */
const norms: Norms = { at: 'around', made: 'onePlus' };

/** How windowed layers turn: by a base of their own, never stretched. v5 says it by the kind of layer. */
function localRope(read: ConfigReader, maxPositions: number): RopeParameters {
  const parameters = read.value('rope_parameters');
  return parameters && Object.hasOwn(parameters as object, 'sliding_attention')
    ? parseRope(read, maxPositions, 'sliding_attention')
    : { type: 'default', theta: read.positive('rope_local_base_freq') };
}

const unlike = anyOf(
  unlikeUnbiased,
  unlikeGemma({ slides: (layer) => (layer + 1) % 6 !== 0, caps: false, tied: false, largest: 62 }),
);

/**
 * Gemma 3 (Gemma Team, 2025): four norms a layer, norms of queries and keys, five windowed layers to one that sees all.
 * D hidden.
 */
export const gemma3: Family = {
  types: ['gemma3_text'],
  within: {
    types: ['gemma3'],
    prefixes: {
      'language_model.model.': 'model.',
      'language_model.lm_head.': 'lm_head.',
      'model.language_model.': 'model.',
    },
  },
  defaults: {
    ...{ vocab_size: 262208, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, max_position_embeddings: 131072 },
    ...{ hidden_activation: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6, tie_word_embeddings: true },
    ...{ rope_theta: 1e6, rope_local_base_freq: 10000, query_pre_attn_scalar: 256 },
    sliding_window: 4096,
  },
  varies: ['attentionBias', 'slidingWindow'],
  ownKeys: ({ headDim }) => ({ query_pre_attn_scalar: headDim }),
  gguf: {
    architectures: ['gemma3'],
    keys: (file) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: file.number('attention.key_length'),
      sliding_window: file.number('attention.sliding_window'),
      rope_local_base_freq: file.number('rope.freq_base_swa', 10000),
    }),
  },
  describe: (read) => {
    const maxPositions = read.count('max_position_embeddings');
    const config = readConfig(read, { mlpBias: false, rope: parseRope(read, maxPositions, 'full_attention') });
    const [D, window, global, local] = [
      config.hiddenSize,
      config.slidingWindow,
      config.rope,
      localRope(read, maxPositions),
    ];
    const activation = readActivation(read);
    const scale = read.positive('query_pre_attn_scalar') ** -0.5;
    const softCap = read.optionalPositive('attn_logit_softcapping');
    const period = read.optionalCount('sliding_window_pattern') ?? 6;
    const slides = slidingLayers(read, config, (layer) => (layer + 1) % period !== 0);
    return {
      config,
      ...vocabulary(config, {
        embeddingScale: Math.sqrt(D),
        norms,
        softCap: read.optionalPositive('final_logit_softcapping'),
      }),
      layers: slides.map((slides, layer) => ({
        attention: groupedAttention(config, layer, {
          norms,
          queryKeyNorm: 'head',
          scale,
          softCap,
          ...(slides ? { window, rope: local } : { rope: global }),
        }),
        mlp: gatedMlp(config, layer, activation, { norms }),
      })),
      conventions: {
        architecture: 'Gemma3ForCausalLM',
        head: 'lm_head',
        gguf: {
          architecture: 'gemma3',
          rotaryPairs: false,
          activation: 'gelu_tanh',
          windows: true,
          unlike,
          metadata: {
            'attention.sliding_window': u32(window ?? config.maxPositionEmbeddings),
            'rope.freq_base_swa': f32(local.theta),
          },
        },
        layerKeys: layerTypes(slides),
      },
    };
  },
};
