import type { JsonObject } from '../checkpoint/index.js';
import type { WeightDType } from '../engine/index.js';
import type { ConfigReader } from './configReader.js';
import { parseDropList } from './drops.js';
import { parseRope, rawRope, type RopeParameters } from './rope.js';

/** What every family's `config.json` says, whatever version of transformers wrote it, in one form. */
export interface ModelConfig {
  readonly modelType: string;
  readonly vocabSize: number;
  readonly hiddenSize: number;
  /** Of an MLP, or of an expert of a mixture. */
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
  Pick<ModelConfig, 'vocabSize' | 'hiddenSize' | 'intermediateSize' | 'numHiddenLayers' | 'numAttentionHeads'> & {
    /** Keys of `config.json` that its family alone has, as the file names them. */
    readonly familyKeys?: JsonObject;
  };

/** Fills in defaults: a Llama of full attention with heads of hidden / heads elements. */
export function completeConfig({ familyKeys: _keys, ...c }: PartialConfig): ModelConfig {
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

/** A complete config under the keys of `config.json`, as transformers v5 writes them. */
export function rawConfig(c: ModelConfig): JsonObject {
  return {
    model_type: c.modelType,
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numHiddenLayers,
    num_attention_heads: c.numAttentionHeads,
    num_key_value_heads: c.numKeyValueHeads,
    head_dim: c.headDim,
    max_position_embeddings: c.maxPositionEmbeddings,
    rms_norm_eps: c.rmsNormEps,
    rope_parameters: rawRope(c.rope),
    tie_word_embeddings: c.tieWordEmbeddings,
    attention_bias: c.attentionBias,
    mlp_bias: c.mlpBias,
    sliding_window: c.slidingWindow ?? null,
    ...(c.numLocalExperts === undefined ? {} : { num_local_experts: c.numLocalExperts }),
    ...(c.numExpertsPerTok === undefined ? {} : { num_experts_per_tok: c.numExpertsPerTok }),
    dtype: c.dtype,
    drop_attn_list: c.dropAttention,
    drop_mlp_list: c.dropMlp,
    bos_token_id: c.bosTokenId ?? null,
    eos_token_id: c.eosTokenIds,
  };
}

/**
 * The keys that all families share, of transformers v4 (`rope_theta`, `torch_dtype`) or v5 (`rope_parameters`, `dtype`);
 * `own` is what the family reads by itself.
 */
export function readConfig(read: ConfigReader, own: Partial<ModelConfig> = {}): ModelConfig {
  const numHiddenLayers = read.layers();
  const numAttentionHeads = read.count('num_attention_heads');
  const hiddenSize = read.count('hidden_size');
  const maxPositionEmbeddings = own.maxPositionEmbeddings ?? read.count('max_position_embeddings');
  const config = completeConfig({
    modelType: read.text('model_type'),
    vocabSize: read.count('vocab_size'),
    hiddenSize,
    intermediateSize: read.count('intermediate_size'),
    numHiddenLayers,
    numAttentionHeads,
    numKeyValueHeads: read.optionalCount('num_key_value_heads') ?? numAttentionHeads,
    headDim: headSize(read, hiddenSize, numAttentionHeads),
    maxPositionEmbeddings,
    rmsNormEps: read.positive('rms_norm_eps'),
    rope: own.rope ?? parseRope(read, maxPositionEmbeddings),
    tieWordEmbeddings: read.flag('tie_word_embeddings'),
    attentionBias: read.flag('attention_bias'),
    mlpBias: read.flag('mlp_bias'),
    // transformers writes Qwen2-MoE's as 0 where it is switched off.
    slidingWindow:
      'slidingWindow' in own && read.value('sliding_window') === 0 ? undefined : read.optionalCount('sliding_window'),
    // Here, so that the order of keys, of which fingerprints are made, stays what it was.
    numLocalExperts: own.numLocalExperts,
    numExpertsPerTok: own.numExpertsPerTok,
    dtype: parseDType(read.value('dtype') ?? read.value('torch_dtype')),
    dropAttention: parseDropList(read.value('drop_attn_list'), numHiddenLayers, `drop_attn_list of ${read.where}`),
    dropMlp: parseDropList(read.value('drop_mlp_list'), numHiddenLayers, `drop_mlp_list of ${read.where}`),
    bosTokenId: read.tokens('bos_token_id')[0],
    eosTokenIds: read.tokens('eos_token_id'),
    ...own,
  });
  if (config.numAttentionHeads % config.numKeyValueHeads !== 0)
    read.fail(
      `num_attention_heads ${config.numAttentionHeads} does not divide by num_key_value_heads ${config.numKeyValueHeads}`,
    );
  const { numLocalExperts: experts = Infinity, numExpertsPerTok: chosen = 1 } = config;
  if (chosen > experts) read.fail(`num_experts_per_tok is ${chosen}, but there are ${experts} experts`);
  return config;
}

/** Beyond any model's: tables of angles are made of it before a weight is read. */
const largestHead = 2 ** 16;

/** Elements of a head; they turn in pairs. */
function headSize(read: ConfigReader, hiddenSize: number, heads: number): number {
  const said = read.optionalCount('head_dim');
  if (said === undefined && hiddenSize % heads !== 0)
    read.fail(`hidden_size ${hiddenSize} does not divide by num_attention_heads ${heads}`, 'head_dim is absent');
  const size = said ?? hiddenSize / heads;
  if (size % 2 !== 0 || size > largestHead)
    read.fail(
      `heads are of ${size} elements, expected an even number of at most ${largestHead}`,
      said === undefined ? 'by hidden_size and num_attention_heads' : 'by head_dim',
    );
  return size;
}

const parseDType = (value: unknown): WeightDType => (value === 'float16' || value === 'bfloat16' ? value : 'float32');
