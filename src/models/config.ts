import { UserError, type WeightDType } from '../engine/index.js';
import { parseDropList } from './dropLists.js';
import { parseRope, type RopeParameters } from './rope.js';

/** A Hugging Face `config.json`, whatever version of transformers wrote it, in one form. */
export interface ModelConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly maxPositionEmbeddings: number;
  readonly rmsNormEps: number;
  readonly rope: RopeParameters;
  readonly tieWordEmbeddings: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  /** Keys that a query sees, itself included; undefined sees all. */
  readonly slidingWindow?: number;
  /** Mixture of experts only. */
  readonly numLocalExperts?: number;
  readonly numExpertsPerTok?: number;
  /** Of the weights in the file. */
  readonly dtype: WeightDType;
  /** Original layers whose attention the checkpoint has dropped, ascending. */
  readonly dropAttention: readonly number[];
  readonly dropMlp: readonly number[];
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
}

/** What `createModel` needs at least; the rest has defaults. */
export type PartialConfig = Partial<ModelConfig> &
  Pick<ModelConfig, 'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numHiddenLayers' | 'numAttentionHeads'>;

/** Fills in defaults: a Llama of full attention with heads of hidden / heads elements. */
export function completeConfig(c: PartialConfig): ModelConfig {
  return {
    modelType: 'llama',
    numKeyValueHeads: c.numAttentionHeads,
    headDim: c.hiddenSize / c.numAttentionHeads,
    maxPositionEmbeddings: 2048,
    rmsNormEps: 1e-5,
    rope: { type: 'default', theta: 10000 },
    tieWordEmbeddings: false,
    attentionBias: false,
    mlpBias: false,
    dtype: 'float32',
    dropAttention: [],
    dropMlp: [],
    eosTokenIds: [],
    ...c,
  };
}

type Json = Record<string, unknown>;

/** Reads a raw config of transformers v4 (`rope_theta`, `torch_dtype`) or v5 (`rope_parameters`, `dtype`). */
export function parseConfig(raw: Json, where: string): ModelConfig {
  const read = new ConfigReader(raw, where);
  const numHiddenLayers = read.count('num_hidden_layers');
  const numAttentionHeads = read.count('num_attention_heads');
  const hiddenSize = read.count('hidden_size');
  const maxPositionEmbeddings = read.count('max_position_embeddings', 2048);
  const config = completeConfig({
    modelType: read.text('model_type'),
    vocabSize: read.count('vocab_size'),
    hiddenSize,
    intermediateSize: read.count('intermediate_size'),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: read.count('num_key_value_heads', numAttentionHeads),
    headDim: read.count('head_dim', hiddenSize / numAttentionHeads),
    maxPositionEmbeddings,
    rmsNormEps: read.number('rms_norm_eps', 1e-6),
    rope: parseRope(raw, maxPositionEmbeddings, where),
    tieWordEmbeddings: read.flag('tie_word_embeddings'),
    attentionBias: read.flag('attention_bias'),
    mlpBias: read.flag('mlp_bias'),
    slidingWindow: read.optionalCount('sliding_window'),
    numLocalExperts: read.optionalCount('num_local_experts'),
    numExpertsPerTok: read.optionalCount('num_experts_per_tok'),
    dtype: parseDType(raw.dtype ?? raw.torch_dtype),
    dropAttention: parseDropList(raw.drop_attn_list, numHiddenLayers, `drop_attn_list of ${where}`),
    dropMlp: parseDropList(raw.drop_mlp_list, numHiddenLayers, `drop_mlp_list of ${where}`),
    bosTokenId: typeof raw.bos_token_id === 'number' ? raw.bos_token_id : undefined,
    eosTokenIds: [raw.eos_token_id ?? []].flat().filter((id) => typeof id === 'number'),
  });
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0)
    read.fail(
      `num_attention_heads ${config.numAttentionHeads} does not divide by num_key_value_heads ${config.numKeyValueHeads}`,
    );
  const activation = JSON.stringify(raw.hidden_act ?? raw.hidden_activation ?? 'silu');
  if (activation !== '"silu"') read.fail(`hidden_act ${activation} is not supported: only 'silu' is`);
  return config;
}

const parseDType = (value: unknown): WeightDType => (value === 'float16' || value === 'bfloat16' ? value : 'float32');

/** Reads fields of a config, naming the file and the field in what it throws. */
class ConfigReader {
  constructor(
    private readonly raw: Json,
    private readonly where: string,
  ) {}

  fail(problem: string): never {
    throw new UserError(`${this.where}: ${problem}`);
  }

  number(key: string, fallback?: number): number {
    const value = this.raw[key] ?? fallback;
    if (typeof value !== 'number' || !Number.isFinite(value))
      this.fail(value === undefined ? `${key} is missing` : `${key} must be a number, found ${JSON.stringify(value)}`);
    return value;
  }

  count(key: string, fallback?: number): number {
    const value = this.number(key, fallback);
    if (!Number.isInteger(value) || value < 1) this.fail(`${key} must be a whole number of at least 1, found ${value}`);
    return value;
  }

  optionalCount(key: string): number | undefined {
    return this.raw[key] === undefined || this.raw[key] === null ? undefined : this.count(key);
  }

  text(key: string): string {
    const value = this.raw[key];
    if (typeof value !== 'string') this.fail(`${key} is missing: it names the kind of model, e.g. "llama"`);
    return value;
  }

  flag(key: string): boolean {
    return this.raw[key] === true;
  }
}
