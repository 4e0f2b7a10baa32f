/**
 * `nemotron-nas` (DeciLM; docs/formats.md, 'nemotron-nas'), the architecture of vLLM whose layers may lack an attention
 * or an MLP. D hidden, I intermediate, H heads, K key-value heads.
 */
import { UserError, type Shape, type WeightDType } from '../engine/index.js';
import { formatJson, paddedInt4, paddedSource, type JsonObject } from '../checkpoint/index.js';
import {
  biasOf,
  completeConfig,
  describeConfig,
  madeSource,
  matrixRole,
  theWeight,
  type ModelConfig,
  type ModelDescription,
} from '../models/index.js';
import { exactContext } from './ggufMetadata.js';
import { typeKeys } from './huggingFaceFolder.js';
import type { PlannedWeight, PlannedWeights } from './plannedWeights.js';
import type { ExportPlan, PlannedLayer } from './exportPlan.js';

export const configModule = 'configuration_nemotron_nas.py';

/**
 * vLLM reads `block_configs` by attribute, so it needs a config class; this is all it needs
 * (docs/formats.md, 'nemotron-nas in vLLM').
 */
export const configModuleText = `"""Config of a model whose layers may lack an attention or an MLP, for vLLM (trust_remote_code)."""
from types import SimpleNamespace

from transformers import PretrainedConfig


class DeciLMConfig(PretrainedConfig):
    model_type = "nemotron-nas"

    def __init__(self, block_configs=None, **kwargs):
        self.block_configs = [
            SimpleNamespace(**{part: SimpleNamespace(**values) for part, values in block.items()})
            for block in block_configs or []
        ]
        # transformers checks how positions are stretched before it sets the rest.
        for name in ("max_position_embeddings", "rope_theta", "head_dim", "hidden_size", "num_attention_heads"):
            setattr(self, name, kwargs.get(name))
        super().__init__(**kwargs)

    def to_dict(self):
        made = super().to_dict()
        made["block_configs"] = [
            {part: dict(vars(values)) for part, values in vars(block).items()} for block in self.block_configs
        ]
        return made
`;

/** vLLM computes the width of an MLP from `ffn_mult`, and rounds it up to a multiple of this. */
const widthStep = 256;

/** I, rounded up to a width that `ffn_mult` can express. */
export const paddedWidth = ({ intermediateSize }: ModelConfig): number =>
  Math.ceil(intermediateSize / widthStep) * widthStep;

/** The width that an engine computes from `ffn_mult` (docs/formats.md, 'nemotron-nas config'). */
export const widthOfMultiplier = (multiplier: number, hidden: number): number =>
  Math.ceil(Math.trunc((2 * multiplier * hidden) / 3) / widthStep) * widthStep;

/** The `ffn_mult` of six decimals that gives a width. */
export function multiplierOf(config: ModelConfig): number {
  const [D, width] = [config.hiddenSize, paddedWidth(config)];
  // The multiplier of the width itself may round up into the next step; that of the middle of the step does not.
  for (const aim of [width, width - widthStep / 2]) {
    const multiplier = Math.round(((1.5 * aim) / D) * 1e6) / 1e6;
    if (widthOfMultiplier(multiplier, D) === width) return multiplier;
  }
  throw new UserError(`an MLP of ${width} beside a hidden size of ${D} cannot be said as an ffn_mult`);
}

/**
 * A dropped attention of layer 0 becomes a zeroed one, since vLLM's norm fails without
 * (docs/formats.md, 'nemotron-nas in vLLM').
 */
export const nemotronPlan = ({ layers }: ExportPlan): ExportPlan => ({
  layers: layers.map((layer, i) => (i === 0 && layer.attention === 'absent' ? { ...layer, attention: 'zero' } : layer)),
});

export function nemotronConfig(
  raw: JsonObject,
  description: ModelDescription,
  { layers }: ExportPlan,
  type?: WeightDType,
): JsonObject {
  const { config } = description;
  const {
    drop_attn_list: _attention,
    drop_mlp_list: _mlp,
    sliding_window: _window,
    layer_types: _types,
    quantization_config: _quantization,
    compression_config: _compression,
    ...rest
  } = raw;
  return {
    ...rest,
    architectures: ['DeciLMForCausalLM'],
    model_type: 'nemotron-nas',
    auto_map: { AutoConfig: `${configModule.replace('.py', '')}.DeciLMConfig` },
    num_hidden_layers: layers.length,
    num_key_value_heads: null,
    intermediate_size: null,
    hidden_act: 'silu',
    head_dim: config.headDim,
    max_position_embeddings: exactContext(config),
    attention_bias: config.attentionBias,
    ...(hasInputBiases(description) ? { qkv_bias: true } : {}),
    mlp_bias: config.mlpBias,
    tie_word_embeddings: config.tieWordEmbeddings,
    rms_norm_eps: config.rmsNormEps,
    ...ropeKeys(raw),
    ...typeKeys(raw, type),
    block_configs: layers.map((layer) => blockConfig(config, layer)),
  };
}

/** Whether queries, keys and values have biases, and the output has none. */
function hasInputBiases({ layers: [{ attention }] }: ModelDescription): boolean {
  const [query, output] = (['query', 'output'] as const).map((role) => theWeight(attention.weights, role));
  return biasOf(attention.weights, query) !== undefined && biasOf(attention.weights, output) === undefined;
}

/** Both forms, v4's and v5's: the class sets neither right by itself. */
function ropeKeys(raw: JsonObject): JsonObject {
  const parameters = raw.rope_parameters as JsonObject | null | undefined;
  if (!parameters) return { rope_theta: raw.rope_theta ?? 10000, rope_scaling: raw.rope_scaling ?? null };
  const { rope_theta: theta = 10000, ...scaling } = parameters;
  const isPlain = (scaling.rope_type ?? 'default') === 'default';
  return { rope_theta: theta, rope_scaling: isPlain ? null : scaling };
}

/**
 * The config as text, with `ffn_mult` as a float even where it is whole, as some readers insist
 * (docs/formats.md, 'nemotron-nas config').
 */
export const nemotronText = (config: JsonObject, original: JsonObject): string =>
  `${formatJson(config, original)}\n`.replace(/("ffn_mult": \d+)(?=,?\n)/g, '$1.0');

function blockConfig(config: ModelConfig, { attention, mlp }: PlannedLayer): JsonObject {
  const [noAttention, noMlp] = [attention === 'absent', mlp === 'absent'];
  return {
    attention: {
      n_heads_in_group: noAttention ? null : config.numAttentionHeads / config.numKeyValueHeads,
      no_op: noAttention,
      num_sink_tokens: null,
      replace_with_linear: false,
      sparsify: null,
      unshifted_sink: false,
      use_prefill_window_in_sink_attention: false,
      window_length: null,
    },
    ffn: { ffn_mult: noMlp ? null : multiplierOf(config), no_op: noMlp, replace_with_linear: false, sparsify: null },
  };
}

/** Llama's, MLPs padded with zero rows of gate and up and zero columns of down, which changes nothing. */
export function nemotronWeights(weights: PlannedWeights): PlannedWeight[] {
  const width = paddedWidth(weights.description.config);
  return weights.all().map((weight) => padded(asLlama(weight), width));
}

/** As Llama's files hold it: on its own, and what is computed with. */
const asLlama = ({ spec: { made, ...spec }, ...weight }: PlannedWeight): PlannedWeight => ({
  ...weight,
  ...(made && { source: madeSource(weight.source, { made }), int4: undefined }),
  spec: { ...spec, forms: [] },
});

function padded(weight: PlannedWeight, width: number): PlannedWeight {
  const { spec, source, int4 } = weight;
  const to = (shape: Shape): PlannedWeight => ({
    ...weight,
    source: paddedSource(source, shape),
    int4: int4 && (async () => paddedInt4(await int4(), shape)),
  });
  const role = matrixRole(spec);
  if (role === 'gate' || role === 'up') return to([width, ...source.shape.slice(1)]);
  return spec.module === 'mlp' && spec.role === 'output' ? to([source.shape[0], width]) : weight;
}

/** What a folder in this architecture describes, for the check of an export: a Llama with drops. */
export function describeNemotron(raw: JsonObject, source: ModelConfig, where: string): ModelDescription {
  const blocks = raw.block_configs as {
    attention: { no_op: boolean; n_heads_in_group: number | null };
    ffn: { no_op: boolean; ffn_mult: number | null };
  }[];
  const group = blocks.find(({ attention }) => !attention.no_op)?.attention.n_heads_in_group;
  const multiplier = blocks.find(({ ffn }) => !ffn.no_op)?.ffn.ffn_mult;
  if (!group) throw new UserError(`${where}: every attention is left out, which the engine refuses`);
  const indices = (part: 'attention' | 'ffn'): number[] => blocks.flatMap((block, i) => (block[part].no_op ? [i] : []));
  const config = completeConfig({
    ...source,
    modelType: 'llama',
    slidingWindow: undefined,
    numHiddenLayers: blocks.length,
    numKeyValueHeads: source.numAttentionHeads / group,
    intermediateSize: multiplier ? widthOfMultiplier(multiplier, source.hiddenSize) : source.intermediateSize,
    dropAttention: indices('attention'),
    dropMlp: indices('ffn'),
  });
  return describeConfig({ ...config, familyKeys: raw.qkv_bias ? { qkv_bias: true } : {} }, where);
}
