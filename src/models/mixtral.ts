/**
 * Mixtral (Jiang et al., 2024): Mistral's attention, and a sparse mixture of E gated experts in place of the MLP.
 * D hidden, I an expert's intermediate size.
 */
import type { ModelConfig } from './config.js';
import type { AttentionWeights, Family, MoeWeights, SubLayer } from './family.js';
import { attention, attentionWeights, sharedWeights } from './llama.js';
import { vector, type WeightSpec } from './weightMap.js';

const layer = 'model.layers.*';

const moeWeights = ({ hiddenSize: D, intermediateSize: I, numLocalExperts: E = 8 }: ModelConfig): WeightSpec[] => {
  const expert = (path: string, name: string, out: number, width: number, fused: WeightSpec['fused']): WeightSpec => ({
    path: `mlp.experts.${path}.weight`,
    name: `${layer}.block_sparse_moe.experts.#.${name}.weight`,
    shape: [E, out, width],
    use: 'experts',
    fused,
  });
  const gateUp = `${layer}.mlp.experts.gate_up_proj`;
  return [
    vector('mlp.norm', `${layer}.post_attention_layernorm.weight`, D),
    {
      path: 'mlp.router.weight',
      name: `${layer}.block_sparse_moe.gate.weight`,
      shape: [E, D],
      use: 'linear',
      fused: { name: `${layer}.mlp.gate.weight`, from: 0, to: E },
    },
    expert('gate', 'w1', I, D, { name: gateUp, from: 0, to: I }),
    expert('up', 'w3', I, D, { name: gateUp, from: I, to: 2 * I }),
    expert('down', 'w2', D, I, { name: `${layer}.mlp.experts.down_proj`, from: 0, to: D }),
  ];
};

/** The sum over each token's top experts e of p_e / sum(p) * w2_e(silu(w1_e x) * w3_e x), p = softmax(router x). */
const mlp: SubLayer<MoeWeights> = (w, hidden, ctx, add) =>
  ctx.moe(
    hidden,
    w.router.weight,
    w.experts,
    { topK: ctx.config.numExpertsPerTok ?? 2, normalise: true },
    { norm: ctx.norm(w), add },
  );

export const mixtral: Family<AttentionWeights, MoeWeights> = {
  types: ['mixtral'],
  weights: (config) => [...sharedWeights(config), ...attentionWeights(config), ...moeWeights(config)],
  attention,
  mlp,
};
