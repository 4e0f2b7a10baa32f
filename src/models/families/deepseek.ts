import type { JsonObject } from '../../checkpoint/index.js';
import { UserError } from '../../engine/index.js';
import { readConfig } from '../config.js';
import type { LayerDescription } from '../description.js';
import type { Family } from './family.js';
import { expertCounts, expertNames, mixture } from './mixtures.js';
import { deepseekGguf, ggufOf, leadingDense } from './mixtureGguf.js';
import { gatedMlp, groupedAttention, readActivation, vocabulary } from './parts.js';

/** Keys of layers that are left: the first ones dense, every `moe_layer_freq`-th of the others a mixture. */
function leadingKeys(layers: readonly LayerDescription[], { moe_layer_freq: every = 1 }: JsonObject): JsonObject {
  const first = leadingDense(layers);
  if (layers.some(({ mlp }, layer) => (mlp.kind === 'mixture') !== (layer >= first && layer % Number(every) === 0)))
    throw new UserError(
      'config.json cannot say which of the layers that are left have experts: it knows the first ones, and steps',
      { hint: '`zero` keeps all layers' },
    );
  return { first_k_dense_replace: first };
}

/** DeepSeek-MoE (Dai et al., 2024): a Llama whose later layers have many narrow experts beside shared ones. */
export const deepseek: Family = {
  types: ['deepseek'],
  defaults: {
    ...{ vocab_size: 102400, hidden_size: 4096, intermediate_size: 11008, num_hidden_layers: 30 },
    ...{ num_attention_heads: 32, num_key_value_heads: 32, max_position_embeddings: 2048 },
    ...{ hidden_act: 'silu', rms_norm_eps: 1e-6, rope_theta: 10000 },
    ...{ moe_intermediate_size: 1407, moe_layer_freq: 1, first_k_dense_replace: 0, scoring_func: 'softmax' },
  },
  varies: ['numLocalExperts', 'numExpertsPerTok'],
  ownKeys: () => ({ moe_intermediate_size: 6, n_shared_experts: 2, first_k_dense_replace: 1 }),
  gguf: {
    architectures: ['deepseek'],
    experts: true,
    keys: (file) => ({
      n_routed_experts: file.number('expert_count'),
      moe_intermediate_size: file.number('expert_feed_forward_length'),
      first_k_dense_replace: file.number('leading_dense_block_count', 0),
      n_shared_experts: file.number('expert_shared_count', 0) || null,
      routed_scaling_factor: file.number('expert_weights_scale', 1),
    }),
  },
  describe: (read) => {
    const key = 'n_routed_experts';
    const counts = [key, 'num_local_experts'].some((key) => read.value(key) !== undefined)
      ? expertCounts(read, key)
      : undefined;
    const config = readConfig(read, {
      mlpBias: false,
      numLocalExperts: counts?.experts,
      numExpertsPerTok: counts?.topK,
    });
    const activation = readActivation(read);
    if (read.value('scoring_func') !== 'softmax') read.fail('scoring_func must be "softmax"');
    const [dense, every] = [read.number('first_k_dense_replace'), read.count('moe_layer_freq')];
    const [width, shared] = [read.count('moe_intermediate_size'), read.optionalCount('n_shared_experts')];
    const normalise = read.flag('norm_topk_prob');
    const routed = counts && {
      ...{ experts: counts.experts, topK: counts.topK, activation, intermediateSize: width },
      // The weight of a single expert stays as it is.
      normalise: normalise && counts.topK > 1,
      scale: read.optionalPositive('routed_scaling_factor'),
      shared: shared === undefined ? undefined : { intermediateSize: width * shared, name: 'mlp.shared_experts' },
    };
    const layers: LayerDescription[] = Array.from({ length: config.numHiddenLayers }, (_, layer) => ({
      attention: groupedAttention(config, layer),
      mlp:
        routed && layer >= dense && layer % every === 0
          ? mixture(config, layer, expertNames, routed)
          : gatedMlp(config, layer, activation),
    }));
    return {
      config,
      ...vocabulary(config),
      layers,
      conventions: {
        architecture: 'DeepseekForCausalLM',
        head: 'lm_head',
        gguf: ggufOf(
          layers,
          { architecture: 'deepseek', rotaryPairs: true, ...deepseekGguf },
          { architecture: 'llama', rotaryPairs: true, ropeDivisors: true },
        ),
        experts: counts?.said,
        mixtureKeys: leadingKeys,
      },
    };
  },
};
