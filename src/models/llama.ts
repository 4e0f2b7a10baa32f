/**
 * Llama (Touvron et al., 2023) and Mistral (Jiang et al., 2023): RMS norm, rotary attention with grouped heads, SwiGLU.
 * D hidden, I intermediate, H heads, K key-value heads, d head size, V vocabulary.
 */
import type { ModelConfig } from './config.js';
import type { AttentionWeights, Family, MlpWeights, SubLayer } from './family.js';
import { projection, vector, type WeightSpec } from './weightMap.js';

const layer = 'model.layers.*';

export const sharedWeights = ({ vocabSize: V, hiddenSize: D, tieWordEmbeddings }: ModelConfig): WeightSpec[] => [
  {
    path: 'embedding',
    name: 'model.embed_tokens.weight',
    shape: [V, D],
    use: tieWordEmbeddings ? 'both' : 'embedding',
  },
  vector('norm', 'model.norm.weight', D),
  ...(tieWordEmbeddings ? [] : [{ path: 'head', name: 'lm_head.weight', shape: [V, D], use: 'linear' } as const]),
];

export const attentionWeights = (c: ModelConfig): WeightSpec[] => {
  const [D, Hd, Kd] = [c.hiddenSize, c.numAttentionHeads * c.headDim, c.numKeyValueHeads * c.headDim];
  return [
    vector('attention.norm', `${layer}.input_layernorm.weight`, D),
    ...projection('attention.q', `${layer}.self_attn.q_proj`, Hd, D, c.attentionBias),
    ...projection('attention.k', `${layer}.self_attn.k_proj`, Kd, D, c.attentionBias),
    ...projection('attention.v', `${layer}.self_attn.v_proj`, Kd, D, c.attentionBias),
    ...projection('attention.o', `${layer}.self_attn.o_proj`, D, Hd, c.attentionBias),
  ];
};

const mlpWeights = ({ hiddenSize: D, intermediateSize: I, mlpBias }: ModelConfig): WeightSpec[] => [
  vector('mlp.norm', `${layer}.post_attention_layernorm.weight`, D),
  ...projection('mlp.gate', `${layer}.mlp.gate_proj`, I, D, mlpBias),
  ...projection('mlp.up', `${layer}.mlp.up_proj`, I, D, mlpBias),
  ...projection('mlp.down', `${layer}.mlp.down_proj`, D, I, mlpBias),
];

/** o(attention(q(norm(x)), k(norm(x)), v(norm(x)))) */
export const attention: SubLayer<AttentionWeights> = (w, hidden, ctx, add) => {
  const [q, k, v] = ctx.queriesKeysValues(hidden, w, { norm: ctx.norm(w) }); // [T, H d], [T, K d], [T, K d]
  const mixed = ctx.attend(q, k, v); // [T, H d]
  return ctx.linear(mixed, { 'attention.o': w.o }, { add })[0]; // [T, D]
};

/** down(silu(gate(norm(x))) * up(norm(x))) */
const mlp: SubLayer<MlpWeights> = (w, hidden, ctx, add) => ctx.gatedMlp(hidden, w, { norm: ctx.norm(w), add });

export const llama: Family<AttentionWeights, MlpWeights> = {
  types: ['llama', 'mistral'],
  weights: (config) => [...sharedWeights(config), ...attentionWeights(config), ...mlpWeights(config)],
  attention,
  mlp,
};
