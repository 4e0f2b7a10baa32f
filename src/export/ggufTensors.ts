import { arraySource, type WeightDType, type WeightSource } from '../engine/index.js';
import { ropeFrequencies, type ModelConfig } from '../models/index.js';
import { ggmlTypes, type GgmlType } from './ggmlBlocks.js';
import type { ExportPlan } from './exportPlan.js';
import type { GgufTensor } from './ggufWriter.js';
import type { PlannedWeight, PlannedWeights } from './plannedWeights.js';
import { rotaryOrderedInt4 } from './int4Views.js';
import { constantSource, rotaryOrdered, widthOf } from './rowViews.js';

/** The `type` of a GGUF export: of its matrices. */
export type GgufType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_1';

/** Names of llama.cpp by the paths of the weights (spec 2.3, 2.9); `*` is the layer. */
export const ggufNames: Readonly<Record<string, string>> = {
  embedding: 'token_embd.weight',
  norm: 'output_norm.weight',
  head: 'output.weight',
  'attention.norm': 'blk.*.attn_norm.weight',
  'attention.q.weight': 'blk.*.attn_q.weight',
  'attention.q.bias': 'blk.*.attn_q.bias',
  'attention.k.weight': 'blk.*.attn_k.weight',
  'attention.k.bias': 'blk.*.attn_k.bias',
  'attention.v.weight': 'blk.*.attn_v.weight',
  'attention.v.bias': 'blk.*.attn_v.bias',
  'attention.o.weight': 'blk.*.attn_output.weight',
  'attention.o.bias': 'blk.*.attn_output.bias',
  'mlp.norm': 'blk.*.ffn_norm.weight',
  'mlp.gate.weight': 'blk.*.ffn_gate.weight',
  'mlp.gate.bias': 'blk.*.ffn_gate.bias',
  'mlp.up.weight': 'blk.*.ffn_up.weight',
  'mlp.up.bias': 'blk.*.ffn_up.bias',
  'mlp.down.weight': 'blk.*.ffn_down.weight',
  'mlp.down.bias': 'blk.*.ffn_down.bias',
  'mlp.router.weight': 'blk.*.ffn_gate_inp.weight',
  'mlp.experts.gate.weight': 'blk.*.ffn_gate_exps.weight',
  'mlp.experts.up.weight': 'blk.*.ffn_up_exps.weight',
  'mlp.experts.down.weight': 'blk.*.ffn_down_exps.weight',
};

export const ggufName = (path: string, layer = 0): string => ggufNames[path].replace('*', String(layer));

/** Width of the all-zero MLP that stands for a dropped one in `deci`: one block of the quantized types (spec 2.4), and no wider than a real one. */
export const zeroMlpWidth = ({ intermediateSize }: ModelConfig): number => Math.min(32, intermediateSize);

/** Rotary rows are paired in llama.cpp's order (spec 2.3). */
const rotary = /^attention\.[qk]\./;

/** The tensors of a plan, matrices as `type`; what `type` cannot hold is F16 as with llama-quantize. */
export function ggufTensors(weights: PlannedWeights, type: GgufType): GgufTensor[] {
  const { config, plan } = weights;
  const tensor = ({ spec: { path }, layer, source, int4 }: PlannedWeight): GgufTensor => ({
    name: ggufName(path, layer),
    type: ggufTypeOf(path, source, type),
    ...(rotary.test(path)
      ? {
          source: rotaryOrdered(source, config.headDim, 'pairs'),
          int4: async () => rotaryOrderedInt4(await int4?.(), config.headDim, 'pairs'),
        }
      : { source, int4 }),
  });
  const made = (path: string, layer: number, shape: readonly number[], value: number): GgufTensor => {
    const source = constantSource(ggufName(path, layer), shape, value);
    return { name: source.name, type: ggufTypeOf(path, source, type), source };
  };
  const layers = plan.layers.flatMap(({ attention, mlp }, layer) => [
    ...(attention === 'absent' && layer === 0
      ? linearAttention(config, made)
      : weights.module('attention', layer).map(tensor)),
    ...(mlp === 'absent' ? zeroMlp(config, layer, made) : weights.module('mlp', layer).map(tensor)),
  ]);
  return [...weights.global().map(tensor), ...ropeDivisors(config), ...layers];
}

/** Where every attention is dropped, layer 0 keeps one with a zero output: llama.cpp makes no context without any keys and values. */
export function deciPlan({ layers }: ExportPlan): ExportPlan {
  const none = layers.every(({ attention }) => attention === 'absent');
  return { layers: layers.map((layer, i) => (none && i === 0 ? { ...layer, attention: 'zero' } : layer)) };
}

type Make = (path: string, layer: number, shape: readonly number[], value: number) => GgufTensor;

/** llama.cpp takes the head size from layer 0, so a dropped attention there is a zero projection without keys and values (spec 2.4, workaround B). */
const linearAttention = ({ hiddenSize: D }: ModelConfig, made: Make): GgufTensor[] => [
  made('attention.norm', 0, [D], 1),
  made('attention.o.weight', 0, [D, D], 0),
];

/** A dropped MLP is an all-zero one: without any, `deci` would lose the attention too (spec 2.4). */
const zeroMlp = (config: ModelConfig, layer: number, made: Make): GgufTensor[] => {
  const [D, I] = [config.hiddenSize, zeroMlpWidth(config)];
  const projection = (path: string, out: number, width: number): GgufTensor[] => [
    made(`${path}.weight`, layer, [out, width], 0),
    ...(config.mlpBias ? [made(`${path}.bias`, layer, [out], 0)] : []),
  ];
  return [
    made('mlp.norm', layer, [D], 1),
    ...projection('mlp.gate', I, D),
    ...projection('mlp.up', I, D),
    ...projection('mlp.down', D, I),
  ];
};

const fileTypes: Readonly<Record<GgufType, GgmlType>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  q8_0: 'Q8_0',
  q4_0: 'Q4_0',
  q4_1: 'Q4_1',
};

function ggufTypeOf(path: string, { shape }: Pick<WeightSource, 'shape'>, type: GgufType): GgmlType {
  if (shape.length === 1 || path === 'mlp.router.weight') return 'F32';
  // Embedding and head suffer most; llama-quantize gives them 6 bits beside 4, of which 8 is the next that is written here.
  const isTable = path === 'embedding' || path === 'head';
  const wanted = isTable && type.startsWith('q4') ? 'Q8_0' : fileTypes[type];
  return widthOf({ shape }) % ggmlTypes[wanted].block === 0 ? wanted : 'F16';
}

/** llama3's stretching as one divisor a frequency (spec 2.3). */
function ropeDivisors({ rope, headDim }: ModelConfig): GgufTensor[] {
  if (rope.type !== 'llama3') return [];
  const plain = ropeFrequencies({ type: 'default', theta: rope.theta }, headDim).inverse;
  const stretched = ropeFrequencies(rope, headDim).inverse;
  const divisors = Float32Array.from(plain, (frequency, k) => frequency / stretched[k]);
  return [
    {
      name: 'rope_freqs.weight',
      type: 'F32',
      source: arraySource(divisors, [divisors.length], { name: 'rope_freqs.weight' }),
    },
  ];
}

/** The type of a GGUF file that holds weights as a checkpoint has them. */
export const ggufTypeOfDType: Readonly<Record<WeightDType, GgufType>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
};
