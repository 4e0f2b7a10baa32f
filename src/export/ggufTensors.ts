import { UserError, arraySource, type WeightDType, type WeightSource } from '../engine/index.js';
import {
  constantSource,
  joinedSource,
  ggmlTypes,
  ropeDivisorsTensor,
  rotaryOrdered,
  widthOf,
  type WrittenType,
  type GgufTensor,
} from '../checkpoint/index.js';
import {
  byTensor,
  fusedGgufName,
  ggufName,
  isTable,
  madeSource,
  matrixRole,
  ropeFrequencies,
  theWeight,
  type LayerDescription,
  type ModelDescription,
  type ModuleKind,
  type WeightSpec,
} from '../models/index.js';
import type { ExportPlan } from './exportPlan.js';
import { architectureOf, turningLayer, zeroMlpWidth } from './ggufArchitecture.js';
import { neutralValue, type PlannedWeight, type PlannedWeights } from './plannedWeights.js';
import { blockType, integersOf, joinedIntegers, rotaryOrderedIntegers } from './storedIntegers.js';

/** The `type` of a GGUF export: of its matrices. */
export type GgufType = 'f32' | 'f16' | 'bf16' | 'q8_0' | 'q4_0' | 'q4_1';

/**
 * The tensors of a plan, matrices as `type`; what `type` cannot hold is F16 as with llama-quantize. With `asStored`, what
 * the checkpoint holds as floats stays of its own type, and integers that blocks can hold are the same ones.
 */
export async function ggufTensors(
  weights: PlannedWeights,
  type: GgufType,
  { asStored = false } = {},
): Promise<GgufTensor[]> {
  const { description, plan } = weights;
  const isDeci = architectureOf(description, plan) === 'deci';
  const rotaryPairs = isDeci || description.conventions.gguf.rotaryPairs;
  const tensor = async (weight: PlannedWeight): Promise<GgufTensor> => {
    const { spec, packed, tensors } = weight;
    const source = madeSource(weight.source, spec);
    const integers = await integersOf(weight);
    const floats = asStored && tensors && !packed ? ownType(spec, source, type) : type;
    const named = {
      name: ggufName(spec),
      type: asStored && integers ? fitting(source, blockType(integers)) : ggufTypeOf(spec, source, floats),
    };
    if (!spec.rotates || !rotaryPairs) return { ...named, source, integers };
    const headDim = headDimOf(description, spec);
    return {
      ...named,
      source: rotaryOrdered(source, headDim, 'pairs'),
      integers: integers && rotaryOrderedIntegers(integers, headDim, 'pairs'),
    };
  };
  /** Those that the architecture has in one tensor, joined. */
  const module = async (kind: ModuleKind, layer: number): Promise<GgufTensor[]> =>
    Promise.all(
      byTensor(weights.module(kind, layer), ({ spec }) => (isDeci ? undefined : fusedGgufName(spec))).map(
        async ({ tensor: name, items }) =>
          name === undefined ? tensor(items[0]) : joined(name, await Promise.all(items.map(tensor))),
      ),
    );
  const made: Make = (spec, layer, shape) => {
    const placed = { ...spec, layer };
    const source = constantSource(ggufName(placed), shape, neutralValue(spec));
    return { name: source.name, type: ggufTypeOf(spec, source, type), source };
  };
  const layers = plan.layers.map(async ({ original, attention, mlp }, layer) => {
    const own = description.layers[original];
    return [
      ...(attention === 'absent' && layer === 0
        ? linearAttention(own, description.config.hiddenSize, made)
        : await module('attention', layer)),
      ...(mlp === 'absent' ? zeroMlp(own, layer, made) : await module('mlp', layer)),
    ];
  });
  const global = await Promise.all(weights.global().map(tensor));
  return [...global, ...ropeDivisors(description, isDeci), ...(await Promise.all(layers)).flat()];
}

/** Tensors one above the other. Where not all are the same kind of integers, they are of the first floats' type. */
function joined(name: string, tensors: readonly GgufTensor[]): GgufTensor {
  const sources = tensors.map(({ source }) => source);
  const { type } = tensors.find(({ integers }) => !integers) ?? tensors[0];
  return {
    name,
    type,
    source: joinedSource(sources, name),
    integers: joinedIntegers(
      tensors.map(({ integers }) => integers),
      name,
    ),
  };
}

const headDimOf = ({ layers }: ModelDescription, { layer = 0 }: WeightSpec): number => layers[layer].attention.headDim;

/** Where every attention is dropped, layer 0 keeps one with a zero output: llama.cpp makes no context without any keys and values. */
export function deciPlan({ layers }: ExportPlan): ExportPlan {
  const none = layers.every(({ attention }) => attention === 'absent');
  return { layers: layers.map((layer, i) => (none && i === 0 ? { ...layer, attention: 'zero' } : layer)) };
}

/** A weight of zeros, or of a norm's ones, that no checkpoint holds. */
type Make = (spec: WeightSpec, layer: number, shape: readonly number[]) => GgufTensor;

/**
 * llama.cpp takes the head size from layer 0, so a dropped attention there becomes a zero projection without keys and
 * values (docs/formats.md, 'GGUF dropped modules').
 */
const linearAttention = ({ attention: { weights } }: LayerDescription, D: number, made: Make): GgufTensor[] => [
  made(theWeight(weights, 'norm'), 0, [D]),
  made(theWeight(weights, 'output'), 0, [D, D]),
];

/**
 * A dropped MLP is an all-zero one: without any, `deci` would lose the attention too
 * (docs/formats.md, 'GGUF dropped modules').
 */
function zeroMlp(own: LayerDescription, layer: number, made: Make): GgufTensor[] {
  const narrow = zeroMlpWidth(own);
  const sized = (size: number): number => (size === own.mlp.intermediateSize ? narrow : size);
  return own.mlp.weights.map((spec) => {
    const role = matrixRole(spec);
    const [out, ...width] = spec.shape;
    if (role === 'gate' || role === 'up') return made(spec, layer, [sized(out), ...width]);
    return made(spec, layer, spec.role === 'output' ? [out, ...width.map(sized)] : spec.shape);
  });
}

const fileTypes: Readonly<Record<GgufType, WrittenType>> = {
  f32: 'F32',
  f16: 'F16',
  bf16: 'BF16',
  q8_0: 'Q8_0',
  q4_0: 'Q4_0',
  q4_1: 'Q4_1',
};

function ggufTypeOf(spec: WeightSpec, { shape }: Pick<WeightSource, 'shape'>, type: GgufType): WrittenType {
  if (shape.length === 1 || spec.role === 'router') return 'F32';
  // Embedding and head lose most by rounding. llama-quantize gives them 6 bits beside 4; the next type that is written
  // here has 8.
  const wanted = isTable(spec) && type.startsWith('q4') ? 'Q8_0' : fileTypes[type];
  return fitting({ shape }, wanted);
}

const fitting = (source: Pick<WeightSource, 'shape'>, type: WrittenType): WrittenType =>
  widthOf(source) % ggmlTypes[type].block === 0 ? type : 'F16';

/** Of floats: their own, but for tables beside weights of 4 bits. */
const ownType = (spec: WeightSpec, { dtype }: WeightSource, type: GgufType): GgufType =>
  isTable(spec) && type.startsWith('q4') ? type : ggufTypeOfDType[dtype];

const divisorsTensor = (name: string, divisors: Float32Array): GgufTensor => ({
  name,
  type: 'F32',
  source: arraySource(divisors, [divisors.length], { name }),
});

/** What each frequency is divided by, where the scaling is llama3's or longrope's (docs/formats.md, 'GGUF tensors'). */
function ropeDivisors(description: ModelDescription, isDeci: boolean): GgufTensor[] {
  const { gguf } = description.conventions;
  const { rope, headDim } = turningLayer(description) ?? description.layers[0].attention;
  if (rope?.type === 'longrope') {
    if (!gguf.longFactors && !gguf.ropeDivisors)
      throw new UserError(`llama.cpp's ${gguf.architecture} does not know the scaling longrope of rotary angles`);
    return [
      divisorsTensor('rope_factors_long.weight', Float32Array.from(rope.longFactors)),
      divisorsTensor('rope_factors_short.weight', Float32Array.from(rope.shortFactors)),
    ];
  }
  if (rope?.type !== 'llama3') return [];
  if (!gguf.ropeDivisors && !isDeci)
    throw new UserError(`llama.cpp's ${gguf.architecture} does not know Llama 3's scaling of rotary angles`);
  const plain = ropeFrequencies({ type: 'default', theta: rope.theta }, headDim).inverse;
  const stretched = ropeFrequencies(rope, headDim).inverse;
  const divisors = Float32Array.from(plain, (frequency, k) => frequency / stretched[k]);
  return [divisorsTensor(ropeDivisorsTensor, divisors)];
}

/** The type of a GGUF file that holds weights as a checkpoint has them. */
export const ggufTypeOfDType: Readonly<Record<WeightDType, GgufType>> = {
  float32: 'f32',
  float16: 'f16',
  bfloat16: 'bf16',
};
