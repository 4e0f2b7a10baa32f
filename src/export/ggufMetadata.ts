import { UserError } from '../engine/index.js';
import { bool, f32, i32s, string, u32, type GgufMetadata } from '../checkpoint/index.js';
import { dropKeys, moduleKinds, type ModelConfig, type ModelDescription } from '../models/index.js';
import type { ExportPlan } from './exportPlan.js';
import { architectureOf, turningLayer, zeroMlpWidth } from './ggufArchitecture.js';
import type { GgufType } from './ggufTensors.js';

/** `general.file_type` (docs/formats.md, 'GGUF blocks'). */
const fileTypes: Readonly<Record<GgufType, number>> = { f32: 0, f16: 1, q4_0: 2, q4_1: 3, q8_0: 7, bf16: 32 };

/** What llama.cpp must know of the model beside its vocabulary. */
export function ggufMetadata(
  description: ModelDescription,
  plan: ExportPlan,
  o: { type: GgufType; name: string },
): GgufMetadata {
  const { config, layers, conventions } = description;
  const architecture = architectureOf(description, plan);
  const planned = plan.layers.map(({ original }) => layers[original]);
  const { attention } = planned[0];
  const mixture = planned.map(({ mlp }) => mlp).find((mlp) => mlp.kind === 'mixture');
  const keys: GgufMetadata = {
    block_count: u32(plan.layers.length),
    context_length: u32(exactContext(config, conventions.gguf)),
    embedding_length: u32(config.hiddenSize),
    ...(architecture === 'deci' ? layerLists(description, plan) : layerCounts(config)),
    'attention.layer_norm_rms_epsilon': f32(config.rmsNormEps),
    'attention.key_length': u32(attention.headDim),
    'attention.value_length': u32(attention.headDim),
    vocab_size: u32(config.vocabSize),
    ...ropeKeys(description),
    ...(mixture ? { expert_count: u32(mixture.experts), expert_used_count: u32(mixture.topK) } : {}),
    ...(architecture === 'deci' ? {} : { ...conventions.gguf.metadata, ...conventions.gguf.layerMetadata?.(planned) }),
  };
  return {
    'general.architecture': string(architecture),
    'general.type': string('model'),
    'general.name': string(o.name),
    'general.file_type': u32(fileTypes[o.type]),
    'general.quantization_version': u32(2),
    ...dropLists(plan),
    ...Object.fromEntries(Object.entries(keys).map(([key, value]) => [`${architecture}.${key}`, value])),
  };
}

/** Which modules are dropped, whether they are there as zeros or not: llama.cpp does not ask, and whoever reads the file again may know. */
const dropLists = ({ layers }: ExportPlan): GgufMetadata =>
  Object.fromEntries(
    moduleKinds.flatMap((kind) => {
      const dropped = layers.flatMap((layer, i) => (layer[kind] === 'whole' ? [] : [i]));
      return dropped.length ? [[dropKeys[kind], i32s(dropped)] as const] : [];
    }),
  );

const layerCounts = (config: ModelConfig): GgufMetadata => ({
  feed_forward_length: u32(config.intermediateSize),
  'attention.head_count': u32(config.numAttentionHeads),
  'attention.head_count_kv': u32(config.numKeyValueHeads),
});

/**
 * Counts by layer, for `deci`. A dropped attention has no heads; in layer 0 it keeps its heads, without keys and
 * values.
 */
function layerLists(description: ModelDescription, { layers }: ExportPlan): GgufMetadata {
  const own = layers.map((planned) => ({ ...planned, is: description.layers[planned.original] }));
  return {
    feed_forward_length: i32s(
      own.map(({ mlp, is }) => (mlp === 'absent' ? zeroMlpWidth(is) : is.mlp.intermediateSize)),
    ),
    'attention.head_count': i32s(
      own.map(({ attention, is }, layer) => (attention === 'absent' && layer > 0 ? 0 : is.attention.heads)),
    ),
    'attention.head_count_kv': i32s(
      own.map(({ attention, is }) => (attention === 'absent' ? 0 : is.attention.keyValueHeads)),
    ),
  };
}

/** Where an engine's graph has no sliding window, it is exact up to the window's length only. */
export const exactContext = (
  { maxPositionEmbeddings, slidingWindow }: ModelConfig,
  { windows = false }: { readonly windows?: boolean } = {},
): number => (windows ? maxPositionEmbeddings : Math.min(maxPositionEmbeddings, slidingWindow ?? Infinity));

function ropeKeys(description: ModelDescription): GgufMetadata {
  const { rope, headDim, rotaryDim = headDim } = turningLayer(description) ?? description.layers[0].attention;
  if (!rope) return {};
  const plain: GgufMetadata = { 'rope.dimension_count': u32(rotaryDim), 'rope.freq_base': f32(rope.theta) };
  switch (rope.type) {
    case 'default':
    // Llama 3: frequencies are divided by the tensor rope_freqs.
    case 'llama3':
    // llama.cpp does not know it: the file says a context within which it changes nothing.
    case 'dynamic':
      return plain;
    // Frequencies are divided by the tensors rope_factors_short and rope_factors_long.
    case 'longrope':
      return {
        ...plain,
        'rope.scaling.type': string('longrope'),
        'rope.scaling.original_context_length': u32(rope.originalMaxPositions),
        'rope.scaling.attn_factor': f32(rope.attentionFactor),
      };
    case 'linear':
      return { ...plain, 'rope.scaling.type': string('linear'), 'rope.scaling.factor': f32(rope.factor) };
    case 'yarn': {
      const usual = rope.factor <= 1 ? 1 : 0.1 * Math.log(rope.factor) + 1;
      if (
        !rope.truncate ||
        Math.abs(rope.attentionFactor - usual) > 1e-6 ||
        rope.betaFast !== 32 ||
        rope.betaSlow !== 1
      )
        throw new UserError("llama.cpp knows this model's YaRN scaling only with its usual attention factor and betas");
      return {
        ...plain,
        'rope.scaling.type': string('yarn'),
        'rope.scaling.factor': f32(rope.factor),
        'rope.scaling.original_context_length': u32(rope.originalMaxPositions),
        'rope.scaling.finetuned': bool(true),
      };
    }
  }
}
