import { shownName, shownNames, shownValue } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import type { ConfigReader } from './configReader.js';

/** Keys of `config.json` that change nothing of what a model computes here, and why; those that all families read are not listed. */
export const harmlessKeys: Readonly<Record<string, string>> = {
  architectures: 'names the class; the model type decides',
  is_llama_config: 'the model type decides',
  auto_map: 'code for transformers, which is not run here',
  transformers_version: 'who wrote the file',
  name_or_path: 'where it came from',
  model_name: 'where it came from',
  torch_dtype: 'tensors say their own types',
  quantization_config: 'read by the checkpoint, with the tensors',
  'transformers.js_config': 'which files that program takes, and its types of caches',
  compression_config: 'read by the checkpoint, with the tensors',
  quantization: 'read by the checkpoint, with the tensors',
  use_cache: 'caches are asked for by whoever runs the model',
  cache_implementation: 'caches are asked for by whoever runs the model',
  pad_token_id: 'batches are ragged, without padding',
  sep_token_id: 'text belongs to the tokenizer',
  unk_token_id: 'text belongs to the tokenizer',
  decoder_start_token_id: 'of encoder-decoder models',
  tokenizer_class: 'text belongs to the tokenizer',
  initializer_range: 'for training',
  initializer_factor: 'for training',
  attention_dropout: 'for training',
  hidden_dropout: 'for training',
  hidden_dropout_prob: 'for training',
  attention_probs_dropout_prob: 'for training',
  resid_pdrop: 'for training',
  embd_pdrop: 'for training',
  attn_pdrop: 'for training',
  gradient_checkpointing: 'for training',
  neftune_noise_alpha: 'for training',
  router_aux_loss_coef: 'for training',
  router_jitter_noise: 'for training',
  aux_loss_alpha: 'for training',
  seq_aux: 'for training',
  output_router_logits: 'what transformers returns beside the logits',
  output_attentions: 'what transformers returns beside the logits',
  output_hidden_states: 'what transformers returns beside the logits',
  return_dict: 'what transformers returns',
  return_dict_in_generate: 'what transformers returns',
  pretraining_tp: 'splits products for the same sums',
  attn_implementation: 'which kernels transformers takes',
  use_flash_attention: 'which kernels transformers takes',
  max_window_layers: 'only with use_sliding_window',
  max_sequence_length: 'how long texts may be',
  max_length: 'how long generated texts are',
  model_max_length: 'how long texts may be',
  max_seq_len: 'how long texts may be',
  seq_length: 'how long texts may be',
  problem_type: 'of classifiers',
  id2label: 'of classifiers',
  label2id: 'of classifiers',
  num_labels: 'of classifiers',
  task_specific_params: 'advice for generating',
  temperature: 'advice for generating',
  top_p: 'advice for generating',
  top_k: 'advice for generating',
  do_sample: 'advice for generating',
  typical_p: 'advice for generating',
  repetition_penalty: 'advice for generating',
  length_penalty: 'advice for generating',
  diversity_penalty: 'advice for generating',
  no_repeat_ngram_size: 'advice for generating',
  encoder_no_repeat_ngram_size: 'advice for generating',
  num_beams: 'advice for generating',
  num_beam_groups: 'advice for generating',
  num_return_sequences: 'advice for generating',
  min_length: 'how long generated texts are',
  max_new_tokens: 'how long generated texts are',
  is_decoder: 'all models here are',
  is_encoder_decoder: 'of encoder-decoder models',
  add_cross_attention: 'of encoder-decoder models',
  cross_attention_hidden_size: 'of encoder-decoder models',
  tie_encoder_decoder: 'of encoder-decoder models',
  pruned_heads: 'of transformers before version 5; an empty object',
  finetuning_task: 'where it came from',
  license: 'not computed with',
  chunk_size_feed_forward: 'splits products for the same sums',
};

/** Keys of tools that mark where they were. */
const marks = /^_|^unsloth|^mlx_|^ollama|_version$|^llm_drop/;

/** A value under which a switch that nobody asked for is off. */
const isOff = (value: unknown): boolean =>
  value === null ||
  value === false ||
  typeof value === 'string' ||
  (Array.isArray(value) && value.length === 0) ||
  (typeof value === 'object' && Object.keys(value as object).length === 0);

/**
 * Refuses a config with keys that its family does not know and that may change what the model computes: a soft cap, a
 * multiplier, a list of layers. Texts, switches that are off, and `harmlessKeys` are no such.
 */
export function refuseUnknownKeys({ raw, asked, where }: ConfigReader): void {
  const unknown = Object.keys(raw).filter(
    (key) => !asked.has(key) && !Object.hasOwn(harmlessKeys, key) && !marks.test(key) && !isOff(raw[key]),
  );
  if (!unknown.length) return;
  const [key] = unknown;
  throw new UserError(
    `${where}: ${shownName(key)} (${shownValue(raw[key], 40)}) is not known of model type ${shownValue(raw.model_type)}, and may change what the model computes`,
    { hint: `if it does not, remove ${unknown.length > 1 ? shownNames(unknown) : 'it'} from the config` },
  );
}
