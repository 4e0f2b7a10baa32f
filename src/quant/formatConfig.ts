import type { Int4Method, JsonObject } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import type { ModuleNames } from '../models/index.js';

/** What a format's config says beside the sizes: readers that do not quantize themselves ignore most of it. */
export interface AlgorithmDetails {
  /** Program and version: `llm-drop:0.1.0`. */
  readonly quantizer?: string;
  /** GPTQ's damping, as a share of the diagonal's mean. */
  readonly dampPercent?: number;
  /** Whether GPTQ took columns by descending curvature. Groups are in order either way, so readers need not know. */
  readonly actOrder?: boolean;
  readonly trueSequential?: boolean;
}

export interface FormatConfig {
  readonly format: Int4Method;
  /** Weights along a row that share a scale, -1 for a whole row. */
  readonly groupSize: number;
  /** Of each quantized module, where they differ: AWQ cannot say so. */
  readonly groupSizes?: ReadonlyMap<string, number>;
  readonly symmetric: boolean;
  readonly names: ModuleNames;
  /** Linear modules that stay floats, by their full names. */
  readonly kept: readonly string[];
  /** Linear modules that are quantized. */
  readonly quantized: readonly string[];
  readonly algorithm?: AlgorithmDetails;
}

/** `quantization_config` as transformers and vLLM read it. */
export function quantizationConfig(config: FormatConfig): JsonObject {
  switch (config.format) {
    case 'awq':
      return awqConfig(config);
    case 'gptq':
      return gptqConfig(config);
    case 'compressed-tensors':
      return compressedTensorsConfig(config);
  }
}

/** Files that are written beside config.json for older readers: texts by file name. */
export const sideConfigs = (quantization: JsonObject): Record<string, string> =>
  quantization.quant_method === 'gptq' ? { 'quantize_config.json': `${JSON.stringify(quantization, null, 2)}\n` } : {};

/** See docs/formats.md, 'AWQ files'. Always with zero points: of symmetric weights they are 8. */
function awqConfig(config: FormatConfig): JsonObject {
  if (config.groupSizes)
    throw new UserError("AWQ's config has one group size, but the model's weights have several", {
      hint: 'a type for floats, or gguf, holds them',
    });
  return {
    quant_method: 'awq',
    bits: 4,
    group_size: config.groupSize,
    zero_point: true,
    version: 'gemm',
    lm_head: config.quantized.includes(config.names.head),
    // Readers take each as a part of names: all modules that contain it stay floats.
    modules_to_not_convert: shortNames(config),
  };
}

/**
 * See docs/formats.md, 'GPTQ files'. Version 1 cannot say a zero point of 0, so asymmetric weights are of version 2.
 */
function gptqConfig(config: FormatConfig): JsonObject {
  const { groupSize, symmetric, names, quantized, algorithm = {} } = config;
  const kept = shortNames(config).filter((name) => name !== names.head);
  const pattern = (sign: '+' | '-', name: string): string => `${sign}:.*\\b${name.replaceAll('.', '\\.')}$`;
  const others = [...(config.groupSizes ?? [])].filter(([, size]) => size !== groupSize);
  const rules = [
    ...kept.map((name) => [pattern('-', name), {}] as const),
    ...others.map(([name, size]) => [pattern('+', name), { group_size: size }] as const),
  ];
  return {
    quant_method: 'gptq',
    checkpoint_format: symmetric ? 'gptq' : 'gptq_v2',
    bits: 4,
    group_size: groupSize,
    desc_act: false,
    sym: symmetric,
    damp_percent: algorithm.dampPercent ?? 0.01,
    static_groups: algorithm.actOrder ?? false,
    true_sequential: algorithm.trueSequential ?? true,
    lm_head: quantized.includes(names.head),
    pack_dtype: 'int32',
    ...(rules.length ? { dynamic: Object.fromEntries(rules) } : {}),
    ...(algorithm.quantizer ? { meta: { quantizer: [algorithm.quantizer] } } : {}),
  };
}

/**
 * See docs/formats.md, 'compressed-tensors files'. Modules whose groups differ in size are named, each under the scheme
 * of its own.
 */
const compressedTensorsConfig = ({ groupSize, groupSizes, symmetric, kept }: FormatConfig): JsonObject => ({
  quant_method: 'compressed-tensors',
  format: 'pack-quantized',
  quantization_status: 'compressed',
  global_compression_ratio: null,
  kv_cache_scheme: null,
  ignore: [...kept],
  config_groups: Object.fromEntries(
    [...targetsBySize(groupSizes ?? new Map([['Linear', groupSize]]))].map(([size, targets], i) => [
      `group_${i}`,
      compressedTensorsGroup(targets, size, symmetric),
    ]),
  ),
});

function targetsBySize(groupSizes: ReadonlyMap<string, number>): Map<number, string[]> {
  const targets = new Map<number, string[]>();
  for (const [target, size] of groupSizes) targets.set(size, [...(targets.get(size) ?? []), target]);
  return targets;
}

const compressedTensorsGroup = (targets: readonly string[], groupSize: number, symmetric: boolean): JsonObject => ({
  targets: [...targets],
  weights: {
    num_bits: 4,
    type: 'int',
    symmetric,
    strategy: groupSize < 0 ? 'channel' : 'group',
    group_size: groupSize < 0 ? null : groupSize,
    dynamic: false,
    actorder: null,
    block_structure: null,
    observer: 'minmax',
    observer_kwargs: {},
  },
  input_activations: null,
  output_activations: null,
});

/**
 * Names of modules that stay floats: without the layer's number, if the module stays a float in every layer that has
 * it.
 */
function shortNames({ kept, quantized, names }: FormatConfig): string[] {
  const mixed = new Set(quantized.map((name) => names.short(name)));
  return [...new Set(kept.map((name) => (mixed.has(names.short(name)) ? name : names.short(name))))];
}
