import { UserError, type WeightSource } from '../../engine/index.js';
import type { JsonObject } from '../jsonFile.js';
import type { GgufFile } from './ggufFile.js';

/** What a GGUF file says of its model. */
export interface GgufConfig {
  /** `general.architecture` */
  readonly architecture: string;
  readonly hasExperts: boolean;
  /** Base of the rotary angles, how they are stretched, and what divides each of them besides, [headDim / 2]. */
  readonly rope: {
    readonly base: number;
    readonly type: unknown;
    readonly factor: unknown;
    readonly divisors: WeightSource | undefined;
  };
  /**
   * Under the keys of a Hugging Face `config.json`, but for the model type and the rotary angles; modules that the file
   * lacks, or holds narrower than others, are in the drop lists.
   */
  readonly keys: JsonObject;
}

/** Holds what divides the rotary angles. */
export const ropeDivisorsTensor = 'rope_freqs.weight';

/** Reads the metadata that all architectures share. */
export function ggufConfig(file: GgufFile): GgufConfig {
  const { metadata } = file;
  const architecture = String(metadata['general.architecture']);
  const get = (key: string): unknown => metadata[`${architecture}.${key}`];
  const number = (key: string): number => {
    const value = get(key);
    if (typeof value !== 'number') throw new UserError(`${file.path} holds no number ${architecture}.${key}`);
    return value;
  };
  const layers = number('block_count');
  const perLayer = (key: string): number[] => {
    const value = get(key);
    return Array.isArray(value) ? (value as number[]) : Array.from({ length: layers }, () => number(key));
  };
  const [heads, keyValueHeads, widths] = ['attention.head_count', 'attention.head_count_kv', 'feed_forward_length'].map(
    perLayer,
  );
  const inner = Math.max(...widths);
  const experts = get('expert_count');
  const headDim = number('attention.key_length');
  const turning = (get('rope.dimension_count') as number | undefined) ?? headDim;
  const hasTensor = (end: string): boolean => file.tensorNames().some((name) => name.endsWith(end));
  return {
    architecture,
    hasExperts: experts !== undefined,
    rope: {
      base: (get('rope.freq_base') as number | undefined) ?? 10000,
      type: get('rope.scaling.type'),
      factor: get('rope.scaling.factor'),
      divisors: file.has(ropeDivisorsTensor) ? file.source(ropeDivisorsTensor) : undefined,
    },
    keys: {
      vocab_size: number('vocab_size'),
      hidden_size: number('embedding_length'),
      intermediate_size: inner,
      num_hidden_layers: layers,
      num_attention_heads: Math.max(...heads),
      num_key_value_heads: Math.max(...keyValueHeads) || Math.max(...heads),
      head_dim: headDim,
      ...(turning === headDim ? {} : { partial_rotary_factor: turning / headDim }),
      max_position_embeddings: number('context_length'),
      rms_norm_eps: number('attention.layer_norm_rms_epsilon'),
      tie_word_embeddings: !file.has('output.weight'),
      attention_bias: hasTensor('attn_q.bias'),
      mlp_bias: hasTensor('ffn_down.bias'),
      ...(experts === undefined
        ? {}
        : { num_local_experts: experts, num_experts_per_tok: get('expert_used_count') ?? null }),
      drop_attn_list: keyValueHeads.flatMap((count, layer) => (count === 0 ? [layer] : [])),
      drop_mlp_list: widths.flatMap((width, layer) => (width < inner ? [layer] : [])),
    },
  };
}
