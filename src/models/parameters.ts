import {
  UserError,
  arraySource,
  sizeOf,
  type Int4Source,
  type Int8Source,
  type Packable,
  type WeightSource,
} from '../engine/index.js';
import {
  sliceExperts,
  sliceInt4,
  sliceInt8,
  sliceSource,
  stackedInt4,
  stackedInt8,
  stackedSource,
  type PackedWeight,
} from '../checkpoint/index.js';
import { madeSource } from './madeWeight.js';
import { normalNumbers, seedOption } from './random.js';
import { fusedNames, ownNames, tensorNames, type WeightSpec } from './weights.js';

/** Where a model's tensors come from, by their names in the checkpoint. A `Checkpoint` is one. */
export interface Parameters {
  /** For messages: a folder, or what made them. */
  readonly folder: string;
  has(name: string): boolean;
  /** A tensor as floats, also if it is stored as integers. */
  source(name: string): WeightSource;
  /** The integers of a weight that is stored so; these are then what is packed. */
  int4?(name: string): PackedWeight | undefined;
  /** The same of up to 8 bits. */
  int8?(name: string): Int8Source | undefined;
  /** Turns weights into another form before they are packed: see `Quantize`. */
  readonly quantize?: Quantize;
}

/** Turns a matrix of a model into what is packed in its place (a weight of integers, say), or returns it. */
export type Quantize = (source: WeightSource, spec: WeightSpec) => Packable;

export const withQuantizer = (parameters: Parameters, quantize: Quantize): Parameters => ({
  folder: parameters.folder,
  has: (name) => parameters.has(name),
  source: (name) => parameters.source(name),
  int4: (name) => parameters.int4?.(name),
  int8: (name) => parameters.int8?.(name),
  quantize,
});

/** What is packed for a matrix: the integers that are stored, what the quantizer makes of it, or its floats. */
export async function packedSource(parameters: Parameters, weight: WeightSpec): Promise<Packable> {
  const floats = computedSource(parameters, weight);
  if (!weight.made && isStoredInt4(parameters, weight)) return (await storedInt4(parameters, weight)) ?? floats;
  return withStoredInt8(parameters, weight, parameters.quantize?.(floats, weight) ?? floats);
}

/** What a weight is packed from: integers of 8 bits that are stored, where fewer bits are not asked for. */
export function withStoredInt8(parameters: Parameters, weight: WeightSpec, otherwise: Packable): Packable {
  return otherwise.dtype === 'int4' ? otherwise : (storedInt8(parameters, weight) ?? otherwise);
}

/** A weight's stored integers of 8 bits, of a stack if all experts have them in the same groups. */
export function storedInt8(parameters: Parameters, weight: WeightSpec): Int8Source | undefined {
  if (weight.made || !parameters.int8) return undefined;
  const names = storedNames(parameters, weight);
  const sources = names.map((name) => parameters.int8!(name)).filter((source) => source !== undefined);
  if (sources.length < names.length) return undefined;
  if (weight.use === 'experts') return stackedInt8(sources);
  const form = weight.forms[fusedNames(weight).indexOf(names[0])];
  return form ? sliceInt8(sources[0], form.from, form.to, tensorNames(weight)[0]) : sources[0];
}

/** Whether a weight is stored as integers; of a stack of experts, whether all are. */
export const isStoredInt4 = (parameters: Parameters, weight: WeightSpec): boolean =>
  storedNames(parameters, weight).every((name) => parameters.int4?.(name));

/** The tensors that hold a weight's integers, where any do: its own, or a fused one. */
export const storedNames = (parameters: Parameters, weight: WeightSpec): string[] =>
  ownNames(weight).every((name) => parameters.has(name)) ? ownNames(weight) : tensorNames(weight);

/**
 * A weight's stored integers in the engine's groups; undefined if it is stored as floats, or if these groups cannot
 * hold it.
 */
export async function storedInt4(parameters: Parameters, weight: WeightSpec): Promise<Int4Source | undefined> {
  if (!isStoredInt4(parameters, weight)) return undefined;
  const names = storedNames(parameters, weight);
  const stored = names.map((name) => parameters.int4!(name)!.int4());
  const sources = (await Promise.all(stored)).filter((source) => source !== undefined);
  if (sources.length < stored.length) return undefined;
  if (weight.use === 'experts') return stackedInt4(sources);
  const form = weight.forms[fusedNames(weight).indexOf(names[0])];
  return form ? sliceInt4(sources[0], form.from, form.to, tensorNames(weight)[0]) : sources[0];
}

/** Whether a checkpoint holds a weight, in whichever form. */
export const holdsWeight = (parameters: Parameters, weight: WeightSpec): boolean =>
  tensorNames(weight).every((name) => parameters.has(name)) || fusedNames(weight).some((name) => parameters.has(name));

/** A weight as the model computes with it: what is stored, or what is made of that. */
export const computedSource = (parameters: Parameters, weight: WeightSpec): WeightSource =>
  madeSource(weightSource(parameters, weight), weight);

/** The source of one weight as it is stored, its shape checked against the config's. */
export function weightSource(parameters: Parameters, weight: WeightSpec): WeightSource {
  const source = find(parameters, weight);
  if (source.shape.length !== weight.shape.length || source.shape.some((size, i) => size !== weight.shape[i]))
    throw new UserError(
      `${parameters.folder}: tensor ${source.name} is [${source.shape.join(',')}], but config.json says [${weight.shape.join(',')}]`,
    );
  return source;
}

function find(parameters: Parameters, weight: WeightSpec): WeightSource {
  const { forms, use, shape } = weight;
  const names = tensorNames(weight);
  if (parameters.has(names[0])) {
    const sources = names.map((name) => {
      if (!parameters.has(name)) throw new UserError(`${parameters.folder}: tensor ${name} is missing`);
      return parameters.source(name);
    });
    return use === 'experts' ? stackedSource(sources) : sources[0];
  }
  const fused = fusedNames(weight);
  const at = fused.findIndex((name) => parameters.has(name));
  if (at >= 0) {
    const form = forms[at];
    const source = parameters.source(fused[at]);
    if (use === 'experts') return sliceExperts(source, form.from, form.to);
    const isWhole = source.shape.length !== shape.length || source.shape[0] <= form.to - form.from;
    return isWhole ? source : sliceSource(source, form.from, form.to);
  }
  throw new UserError(`${parameters.folder}: tensor ${ownNames(weight)[0]} is missing`, {
    hint: 'a dropped module must be named in drop_attn_list or drop_mlp_list of config.json',
  });
}

/** Normal numbers of deviation 1 / sqrt(in), norms near 1, for each name the same in every run. */
export function randomParameters(weights: readonly WeightSpec[], seed: number): Parameters {
  seedOption(seed, '`seed`');
  const byName = new Map(weights.flatMap((weight) => tensorNames(weight).map((name) => [name, weight] as const)));
  return {
    folder: `random model (seed ${seed})`,
    has: (name) => byName.has(name),
    source: (name) => {
      const weight = byName.get(name)!;
      const shape = weight.use === 'experts' ? weight.shape.slice(1) : weight.shape;
      const center = weight.use === 'vector' && weight.role !== 'bias' && weight.made !== 'onePlus' ? 1 : 0;
      const scale = weight.use === 'vector' ? 0.1 : shape[shape.length - 1] ** -0.5;
      const draw = (): WeightSource => {
        const normal = normalNumbers(`${seed} ${name}`, sizeOf(shape));
        return arraySource(
          normal.map((x) => center + scale * x),
          shape,
          { name },
        );
      };
      // Drawn when first read, so that a weight that a quantizer replaces is never made.
      let drawn: WeightSource | undefined;
      return { name, shape, dtype: 'float32', readRows: (start, end) => (drawn ??= draw()).readRows(start, end) };
    },
  };
}
