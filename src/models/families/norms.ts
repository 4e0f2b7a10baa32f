import type { ModelConfig } from '../config.js';
import type { AttentionDescription } from '../description.js';
import type { MadeOf, WeightSpec } from '../weights.js';
import { vector, type Place } from './weightParts.js';

/** Where a family norms, and what its files say of the gains. */
export interface Norms {
  /** Before a module, after it, or both. @defaultValue 'before' */
  readonly at?: 'before' | 'after' | 'around';
  /** @defaultValue the gains themselves */
  readonly made?: MadeOf;
}

/** The names of a module's norms, by where the family has them. */
const names = {
  attention: {
    before: { hf: 'input_layernorm.weight', gguf: 'attn_norm.weight' },
    after: { hf: 'post_attention_layernorm.weight', gguf: 'post_attention_norm.weight' },
  },
  mlp: {
    before: { hf: 'pre_feedforward_layernorm.weight', gguf: 'ffn_norm.weight' },
    after: { hf: 'post_feedforward_layernorm.weight', gguf: 'post_ffw_norm.weight' },
  },
  /** Of an MLP whose norm is the only one between it and the attention. */
  mlpAlone: { hf: 'post_attention_layernorm.weight', gguf: 'ffn_norm.weight' },
};

/** The norms around a module, and their weights. */
export function moduleNorms(
  { rmsNormEps: epsilon, hiddenSize: D }: ModelConfig,
  place: Place,
  { at = 'before', made }: Norms = {},
): Pick<AttentionDescription, 'norm' | 'postNorm'> & { readonly normWeights: readonly WeightSpec[] } {
  const { module } = place;
  const before = at === 'before' && module === 'mlp' ? names.mlpAlone : names[module].before;
  return {
    ...(at === 'after' ? {} : { norm: { epsilon } }),
    ...(at === 'before' ? {} : { postNorm: { epsilon } }),
    normWeights: [
      ...(at === 'after' ? [] : [vector(place, 'norm', 'norm', D, before, made)]),
      ...(at === 'before' ? [] : [vector(place, 'postNorm', 'postNorm', D, names[module].after, made)]),
    ],
  };
}
