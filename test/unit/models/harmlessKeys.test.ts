/** A config is refused where a key that nobody reads may change what the model computes, and only there. */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { UserError } from '../../../src/engine/index.js';
import { ConfigReader } from '../../../src/models/configReader.js';
import { harmlessKeys, refuseUnknownKeys } from '../../../src/models/harmlessKeys.js';
import { describeModel } from '../../../src/models/index.js';

const llama = {
  model_type: 'llama',
  vocab_size: 80,
  hidden_size: 32,
  intermediate_size: 40,
  num_hidden_layers: 4,
  num_attention_heads: 4,
};
const mixtral = { ...llama, model_type: 'mixtral', num_key_value_heads: 4 };

function refusal(config: Record<string, unknown>): string {
  try {
    describeModel(config, 'model/config.json');
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  return expect.unreachable(`${JSON.stringify(config)} was not refused`);
}

describe('is refused by name', () => {
  it.each<[string, unknown]>([
    ['attn_logit_softcapping', 50],
    ['final_logit_softcapping', 30],
    ['partial_rotary_factor', 0.5],
    ['num_local_experts', 8],
    ['num_experts_per_tok', 2],
    ['logits_scaling', 8],
    ['residual_multiplier', 0],
    ['use_parallel_residual', true],
    ['no_rope_layers', [1, 1, 0, 1]],
    ['block_configs', [{ attention: { no_op: true } }]],
    // Of every object, but of no config.
    ['constructor', 1],
  ])('%s: %j in a llama', (key, value) =>
    expect(refusal({ ...llama, [key]: value })).toMatch(
      new RegExp(
        `^model/config\\.json: ${key} \\(.*\\) is not known of model type "llama", and may change what the model computes`,
      ),
    ),
  );

  it('with its value, cut where it is long, and with what can be done', () => {
    expect(refusal({ ...llama, attn_logit_softcapping: 50 })).toMatch(
      /: attn_logit_softcapping \(50\) is not known .* \(if it does not, remove it from the config\)$/,
    );
    const long = refusal({ ...llama, scales: Array.from({ length: 100 }, () => 1.5) });
    expect(long).toMatch(/: scales \(\[(1\.5,)+1?\.?5?…\) is not known/);
    expect(long.length).toBeLessThan(200);
  });

  it('first of several, which are all named', () =>
    expect(refusal({ ...llama, a_scale: 2, harmless: 'text', b_scale: 3 })).toMatch(
      /: a_scale \(2\) .*remove a_scale, b_scale from the config\)$/,
    ));
});

describe('is not refused', () => {
  it.each<[string, Record<string, unknown>]>([
    ['what is null', { attn_logit_softcapping: null }],
    ['what is false', { use_parallel_residual: false, rope_interleaved: false }],
    ['text', { activation: 'swiglu', base_model: 'some/model' }],
    ['what is empty', { no_rope_layers: [], pruned_heads: {}, extra: {} }],
    [
      'a key of a tool',
      {
        _name_or_path: 'some/model',
        _attn_implementation_autoset: true,
        unsloth_fixed: true,
        mlx_lm: { a: 1 },
        ollama_parameters: { num_ctx: 4096 },
        awq_version: 2,
        llm_drop: { dropped: [1] },
      },
    ],
  ])('%s', (_, keys) => expect(describeModel({ ...llama, ...keys }, 'x').config.numHiddenLayers).toBe(4));

  it('what the family reads', () => {
    const { layers } = describeModel({ ...mixtral, num_local_experts: 6, num_experts_per_tok: 3 }, 'x');
    expect(layers[3].mlp).toMatchObject({ kind: 'mixture', experts: 6, topK: 3 });
    const all = {
      ...{ num_key_value_heads: 2, head_dim: 16, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
      ...{ rope_parameters: { rope_type: 'default', rope_theta: 500 }, rope_theta: 10000, rope_scaling: null },
      ...{ tie_word_embeddings: true, attention_bias: true, mlp_bias: true, sliding_window: 8, hidden_act: 'silu' },
      ...{
        dtype: 'float16',
        layer_types: Array(4).fill('full_attention'),
        drop_attn_list: [1],
        drop_mlp_list: [false, true],
        bos_token_id: 1,
        eos_token_id: [2, 3],
      },
    };
    expect(describeModel({ ...llama, ...all }, 'x').config).toMatchObject({ dropAttention: [1], dropMlp: [1] });
  });

  it.each(Object.entries(harmlessKeys))('%s, whatever it holds: %s', (key) => {
    // As a family sees it that never asks for it.
    for (const value of [7, 0.5, true, [1, 2], { a: 1 }])
      expect(() => refuseUnknownKeys(new ConfigReader({ model_type: 'any', [key]: value }, 'x'))).not.toThrow();
  });
});

it('every harmless key has a reason', () => {
  for (const [key, reason] of Object.entries(harmlessKeys)) {
    expect(key).toMatch(/^[\w.]+$/);
    expect(reason, key).toMatch(/^[\w' -]+[\w,; '-]*\w$/);
    expect(reason.split(' ').length, `${key}: ${reason}`).toBeGreaterThan(1);
  }
});

describe('published configs', () => {
  const fixtures = fileURLToPath(new URL('../../fixtures/cases', import.meta.url));

  it.each(readdirSync(fixtures))("transformers' own: %s", (name) => {
    const config = JSON.parse(readFileSync(join(fixtures, name, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect(describeModel(config, name).layers).toHaveLength(3);
  });

  it('SmolLM2-135M-Instruct', () => {
    const config = {
      architectures: ['LlamaForCausalLM'],
      attention_bias: false,
      attention_dropout: 0,
      bos_token_id: 1,
      eos_token_id: 2,
      hidden_act: 'silu',
      hidden_size: 576,
      initializer_range: 0.041666666666666664,
      intermediate_size: 1536,
      is_llama_config: true,
      max_position_embeddings: 8192,
      mlp_bias: false,
      model_type: 'llama',
      num_attention_heads: 9,
      num_hidden_layers: 30,
      num_key_value_heads: 3,
      pad_token_id: 2,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_scaling: null,
      rope_theta: 100000,
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
      'transformers.js_config': { kv_cache_dtype: { q4f16: 'float16', fp16: 'float16' } },
      transformers_version: '4.42.3',
      use_cache: true,
      vocab_size: 49152,
    };
    expect(describeModel(config, 'x').config).toMatchObject({ headDim: 64, rope: { type: 'default', theta: 100000 } });
  });

  it('written with all defaults, those of generating among them', () => {
    const config = {
      ...llama,
      ...{ max_length: 20, min_length: 0, do_sample: false, num_beams: 1, num_beam_groups: 1, num_return_sequences: 1 },
      ...{ temperature: 1, top_k: 50, top_p: 1, typical_p: 1, repetition_penalty: 1, length_penalty: 1 },
      ...{ diversity_penalty: 0, no_repeat_ngram_size: 0, encoder_no_repeat_ngram_size: 0, bad_words_ids: null },
      ...{ chunk_size_feed_forward: 0, id2label: { 0: 'LABEL_0' }, label2id: { LABEL_0: 0 }, pruned_heads: {} },
      ...{ is_decoder: false, return_dict: true, output_scores: false, torchscript: false, tf_legacy_loss: false },
      ...{ tie_encoder_decoder: false, cross_attention_hidden_size: null, task_specific_params: null },
    };
    expect(describeModel(config, 'x').config.vocabSize).toBe(80);
  });
});
