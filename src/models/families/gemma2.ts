import { f32, u32 } from '../../checkpoint/index.js';
import { readConfig } from '../config.js';
import type { LayerDescription } from '../description.js';
import type { Family } from './family.js';
import { layerTypes, slidingLayers } from './layerWindows.js';
import type { Norms } from './norms.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';
import { anyOf, unlikeGemma, unlikeUnbiased } from './ggufAssumptions.js';

/** Gemma's: two around each module, with gains that are stored less 1. */
const norms: Norms = { at: 'around', made: 'onePlus' };

/** Even layers slide. */
const pattern = (layer: number): boolean => layer % 2 === 0;

const unlike = anyOf(unlikeUnbiased, unlikeGemma({ slides: pattern, caps: true, tied: true, largest: 46 }));

/** Gemma 2 (Gemma Team, 2024): four norms a layer, every second one windowed, and soft caps on scores and logits. D hidden. */
export const gemma2: Family = {
  types: ['gemma2'],
  defaults: {
    ...{ vocab_size: 256000, hidden_size: 2304, intermediate_size: 9216, num_hidden_layers: 26 },
    ...{ num_attention_heads: 8, num_key_value_heads: 4, head_dim: 256, max_position_embeddings: 8192 },
    ...{ hidden_activation: 'gelu_pytorch_tanh', rms_norm_eps: 1e-6, rope_theta: 10000, tie_word_embeddings: true },
    ...{ query_pre_attn_scalar: 256, sliding_window: 4096 },
    ...{ attn_logit_softcapping: 50, final_logit_softcapping: 30 },
  },
  varies: ['attentionBias', 'slidingWindow'],
  ownKeys: ({ headDim }) => ({ query_pre_attn_scalar: headDim }),
  gguf: {
    architectures: ['gemma2'],
    keys: (file) => ({
      hidden_activation: 'gelu_pytorch_tanh',
      query_pre_attn_scalar: file.number('attention.key_length'),
      sliding_window: file.number('attention.sliding_window', 4096),
      attn_logit_softcapping: file.number('attn_logit_softcapping', 50),
      final_logit_softcapping: file.number('final_logit_softcapping', 30),
    }),
  },
  describe: (read) => {
    const config = readConfig(read, { mlpBias: false });
    const [D, window] = [config.hiddenSize, config.slidingWindow];
    const activation = readActivation(read);
    const scale = read.positive('query_pre_attn_scalar') ** -0.5;
    const softCap = read.optionalPositive('attn_logit_softcapping');
    const finalCap = read.optionalPositive('final_logit_softcapping');
    const slides = slidingLayers(read, config, pattern);
    return {
      config,
      ...vocabulary(config, {
        embeddingScale: Math.sqrt(D),
        norms,
        softCap: finalCap,
      }),
      layers: slides.map((slides, layer): LayerDescription => ({
        attention: groupedAttention(config, layer, { norms, scale, softCap, window: slides ? window : undefined }),
        mlp: gatedMlp(config, layer, activation, { norms }),
      })),
      conventions: {
        architecture: 'Gemma2ForCausalLM',
        head: 'lm_head',
        gguf: {
          architecture: 'gemma2',
          rotaryPairs: false,
          activation: 'gelu_tanh',
          windows: true,
          unlike,
          metadata: {
            'attention.sliding_window': u32(window ?? config.maxPositionEmbeddings),
            ...(softCap && { attn_logit_softcapping: f32(softCap) }),
            ...(finalCap && { final_logit_softcapping: f32(finalCap) }),
          },
        },
        layerKeys: layerTypes(slides),
      },
    };
  },
};
