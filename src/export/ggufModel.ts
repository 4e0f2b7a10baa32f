import { UserError, type Engine, type WeightSource } from '../engine/index.js';
import {
  Model,
  completeConfig,
  familyOf,
  ropeFrequencies,
  tensorNames,
  type ModelConfig,
  type Parameters,
  type RopeParameters,
} from '../models/index.js';
import { sliceSource } from '../checkpoint/index.js';
import type { GgufFile } from './ggufFile.js';
import { ggufName, ggufNames } from './ggufTensors.js';
import { readValues, rotaryOrdered } from './rowViews.js';

/**
 * A model of what a GGUF file of architecture `llama` or `deci` holds, its blocks decoded: the check of an export, and
 * what the quantized weights compute without an engine's own roundings. Nothing is loaded yet. `rope` says which kind
 * of stretching `rope_freqs` is meant to be, and is compared with it.
 */
export async function ggufModel(file: GgufFile, engine: Engine, rope: RopeParameters): Promise<Model> {
  const config = await ggufConfig(file, rope);
  const family = familyOf(config, file.path);
  return new Model(engine, config, family, new GgufParameters(file, config));
}

async function ggufConfig(file: GgufFile, rope: RopeParameters): Promise<ModelConfig> {
  const { metadata } = file;
  const architecture = metadata['general.architecture'];
  const get = (key: string): unknown => metadata[`${String(architecture)}.${key}`];
  const number = (key: string): number => {
    const value = get(key);
    if (typeof value !== 'number') throw new UserError(`${file.path} holds no number ${String(architecture)}.${key}`);
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
  const experts = get('expert_count') as number | undefined;
  const config = completeConfig({
    modelType: experts === undefined ? 'llama' : 'mixtral',
    vocabSize: number('vocab_size'),
    hiddenSize: number('embedding_length'),
    intermediateSize: inner,
    numHiddenLayers: layers,
    numAttentionHeads: Math.max(...heads),
    numKeyValueHeads: Math.max(...keyValueHeads) || Math.max(...heads),
    headDim: number('attention.key_length'),
    maxPositionEmbeddings: number('context_length'),
    rmsNormEps: number('attention.layer_norm_rms_epsilon'),
    rope,
    tieWordEmbeddings: !file.has(ggufNames.head),
    attentionBias: file.tensorNames().some((name) => name.endsWith('attn_q.bias')),
    mlpBias: file.tensorNames().some((name) => name.endsWith('ffn_down.bias')),
    numLocalExperts: experts,
    numExpertsPerTok: get('expert_used_count') as number | undefined,
    dropAttention: keyValueHeads.flatMap((count, layer) => (count === 0 ? [layer] : [])),
    dropMlp: widths.flatMap((width, layer) => (width < inner ? [layer] : [])),
  });
  await checkDropped(file, config);
  await checkRope(file, number('rope.freq_base'), config, get('rope.scaling.type'), get('rope.scaling.factor'));
  return config;
}

/** What stands for a dropped module must add nothing. */
async function checkDropped(file: GgufFile, { dropAttention, dropMlp }: ModelConfig): Promise<void> {
  const stand = [
    ...dropAttention.map((layer) => ggufName('attention.o.weight', layer)),
    ...dropMlp.map((layer) => ggufName('mlp.down.weight', layer)),
  ];
  for (const name of stand)
    if (file.has(name) && (await readValues(file.source(name))).some((value) => value !== 0))
      throw new UserError(`${file.path}: ${name} stands for a dropped module, but is not zero`);
}

async function checkRope(
  file: GgufFile,
  base: number,
  { rope, headDim }: ModelConfig,
  type: unknown,
  factor: unknown,
): Promise<void> {
  const wanted = ropeFrequencies(rope, headDim).inverse;
  const divisors = file.has('rope_freqs.weight') ? await readValues(file.source('rope_freqs.weight')) : undefined;
  if (rope.type === 'yarn') {
    if (type !== 'yarn') throw new UserError(`${file.path} lacks the scaling of type yarn`);
    return;
  }
  const scale = type === 'linear' ? Number(factor) : 1;
  const found = ropeFrequencies({ type: 'default', theta: base }, headDim).inverse.map(
    (f, k) => f / (divisors?.[k] ?? 1) / scale,
  );
  const off = found.findIndex((f, k) => Math.abs(f - wanted[k]) > 1e-5 * wanted[k]);
  if (off >= 0) throw new UserError(`${file.path}: rotary frequency ${off} is ${found[off]}, expected ${wanted[off]}`);
}

/** Under the names and in the order of a Hugging Face checkpoint. */
class GgufParameters implements Parameters {
  readonly folder: string;
  readonly #sources = new Map<string, () => WeightSource>();

  constructor(file: GgufFile, config: ModelConfig) {
    this.folder = file.path;
    for (const spec of familyOf(config, file.path).weights(config))
      for (let layer = 0; layer < (spec.name.includes('*') ? config.numHiddenLayers : 1); layer++) {
        const name = ggufName(spec.path, layer);
        if (!file.has(name)) continue;
        const source = (): WeightSource =>
          /^attention\.[qk]\./.test(spec.path)
            ? rotaryOrdered(file.source(name), config.headDim, 'halves')
            : file.source(name);
        const names = tensorNames(spec, layer);
        const rows = spec.shape.length === 3 ? spec.shape[1] : 0;
        for (const [expert, own] of names.entries())
          this.#sources.set(own, rows ? () => sliceSource(source(), expert * rows, (expert + 1) * rows, own) : source);
      }
  }

  has(name: string): boolean {
    return this.#sources.has(name);
  }

  source(name: string): WeightSource {
    const source = this.#sources.get(name);
    if (!source) throw new UserError(`${this.folder} has no tensor for ${name}`);
    return source();
  }
}
