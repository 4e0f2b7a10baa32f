import { ggufContents, type GgufFile, type JsonObject } from '../../checkpoint/index.js';
import type { Drops } from '../drops.js';
import { ggufFamily } from '../families/index.js';
import { GgufKeys } from './ggufKeys.js';
import { ggufRope } from './ggufRope.js';

/** Holds the drops of a model that llm-drop exported, by layers of the file: what is dropped may be there as zeros. */
export const dropKeys: Readonly<Record<keyof Drops, string>> = {
  attention: 'llm_drop.drop_attn_list',
  mlp: 'llm_drop.drop_mlp_list',
};

/**
 * What a GGUF file's metadata say of its model, under the keys of a Hugging Face `config.json` (docs/formats.md, 'GGUF as
 * input'); modules that the file lacks, or holds narrower than others, are in the drop lists. UserError for an architecture
 * that is not known, and for keys that no one reads and that may change what the model computes.
 */
export async function ggufConfig(file: GgufFile): Promise<JsonObject> {
  const keys = GgufKeys.of(file);
  const contents = ggufContents(file);
  const hasExperts = keys.number('expert_count', 0) > 0;
  const family = ggufFamily(keys.architecture, hasExperts, file.path);
  // Every layer has a tensor: what lacks both modules is not written.
  const layers = keys.count('block_count', file.tensorNames().length);
  const hidden = keys.count('embedding_length');
  const heads = keys.perLayer('attention.head_count', layers);
  const keyValueHeads = keys.perLayer('attention.head_count_kv', layers, Math.max(...heads));
  const widths = keys.perLayer('feed_forward_length', layers);
  const [most, width] = [Math.max(...heads), Math.max(...widths)];
  const headDim = keys.number('attention.key_length', hidden / most);
  if (keys.number('attention.value_length', headDim) !== headDim)
    keys.fail('its keys and values are of different sizes, which is not supported');
  checkAlike(keys, 'attention.head_count', heads);
  checkAlike(keys, 'attention.head_count_kv', keyValueHeads);
  const rotary = keys.number('rope.dimension_count', headDim);
  const dropped = (kind: keyof Drops, lacking: readonly boolean[]): number[] => {
    const recorded = file.metadata[dropKeys[kind]];
    const said: unknown[] = Array.isArray(recorded) ? recorded : [];
    return lacking.flatMap((lacks, layer) => (lacks || said.includes(layer) ? [layer] : []));
  };
  const config = {
    model_type: family.types[0],
    vocab_size: contents.embedding?.[0] ?? keys.fail('it has no embedding (token_embd.weight)'),
    hidden_size: hidden,
    intermediate_size: width,
    num_hidden_layers: layers,
    num_attention_heads: most,
    num_key_value_heads: Math.max(...keyValueHeads) || most,
    head_dim: headDim,
    max_position_embeddings: keys.number('context_length', 2048),
    rms_norm_eps: keys.number('attention.layer_norm_rms_epsilon'),
    ...(await ggufRope(keys, contents, rotary)),
    ...(rotary === headDim ? {} : { partial_rotary_factor: rotary / headDim }),
    tie_word_embeddings: contents.isTied,
    attention_bias: contents.hasAttentionBias,
    mlp_bias: contents.hasMlpBias,
    ...(hasExperts ? { num_experts_per_tok: keys.count('expert_used_count') } : {}),
    torch_dtype: mostlyOf(file),
    drop_attn_list: dropped(
      'attention',
      keyValueHeads.map((count) => count === 0),
    ),
    drop_mlp_list: dropped(
      'mlp',
      widths.map((one) => one < width),
    ),
    ...tokenIds(file, contents.embedding?.[0] ?? 0),
    ...family.gguf.keys?.(keys),
  };
  keys.refuseUnknown();
  return config;
}

/** Layers may lack attention; those that have it must be alike. */
function checkAlike(keys: GgufKeys, key: string, counts: readonly number[]): void {
  const kinds = new Set(counts.filter((count) => count > 0));
  if (kinds.size > 1)
    keys.fail(
      `${keys.architecture}.${key} is ${[...kinds].join(' in some layers and ')} in others, which is not supported`,
    );
}

/** Of the matrices: what most of the weights are held in. */
function mostlyOf(file: GgufFile): 'float32' | 'float16' | 'bfloat16' {
  const types = file.tensorNames().map((name) => file.info(name));
  const sizeOf = (...of: string[]): number =>
    types.reduce((sum, { dtype, bytes }) => sum + (of.includes(dtype) ? bytes : 0), 0);
  const [float32, float16] = [sizeOf('F32'), sizeOf('F16')];
  const others = types.reduce((sum, { bytes }) => sum + bytes, 0) - float32 - float16;
  return others >= Math.max(float32, float16) ? 'bfloat16' : float32 > float16 ? 'float32' : 'float16';
}

/** Some files name ids that mean none, such as 2^32 - 1. */
function tokenIds({ metadata }: GgufFile, vocabulary: number): JsonObject {
  const id = (which: string): JsonObject => {
    const found = metadata[`tokenizer.ggml.${which}_token_id`];
    return typeof found === 'number' && found >= 0 && found < vocabulary ? { [`${which}_token_id`]: found } : {};
  };
  return { ...id('bos'), ...id('eos') };
}
