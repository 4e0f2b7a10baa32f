import { UserError, arraySource, sizeOf, type Int4Source, type WeightSource } from '../engine/index.js';
import { sliceExperts, stackedInt4, stackedSource, type StoredInt4 } from '../checkpoint/index.js';
import { normalNumbers } from './random.js';
import { tensorName, tensorNames, type WeightSpec } from './weightMap.js';

/** Where a model's tensors come from, by their names in the checkpoint. A `Checkpoint` is one. */
export interface Parameters {
  /** For messages: a folder, or what made them. */
  readonly folder: string;
  has(name: string): boolean;
  /** Floats, also of a weight that is stored as integers. */
  source(name: string): WeightSource;
  /** The integers of a weight that is stored as such; it is packed in no other form. */
  int4?(name: string): StoredInt4 | undefined;
  /** Another form of a weight, which is packed instead: see `Quantize`. */
  readonly quantize?: Quantize;
}

/** Turns a matrix of a model into what is packed in its place (an int4 weight, say), or returns it. */
export type Quantize = (source: WeightSource, spec: WeightSpec) => WeightSource | Int4Source;

export const withQuantizer = (parameters: Parameters, quantize: Quantize): Parameters => ({
  folder: parameters.folder,
  has: (name) => parameters.has(name),
  source: (name) => parameters.source(name),
  int4: (name) => parameters.int4?.(name),
  quantize,
});

/** What is packed for a matrix: the integers that are stored, what the quantizer makes of it, or its floats. */
export async function packedSource(
  parameters: Parameters,
  spec: WeightSpec,
  layer?: number,
): Promise<WeightSource | Int4Source> {
  const floats = weightSource(parameters, spec, layer);
  if (isStoredInt4(parameters, spec, layer)) return (await storedInt4(parameters, spec, layer)) ?? floats;
  return parameters.quantize?.(floats, spec) ?? floats;
}

/** Whether a weight is stored as integers, all experts' if it has such. */
export const isStoredInt4 = (parameters: Parameters, spec: WeightSpec, layer?: number): boolean =>
  tensorNames(spec, layer).every((name) => parameters.int4?.(name));

/** A weight's stored integers in groups of the engine's; undefined where it is floats or these cannot hold it. */
export async function storedInt4(
  parameters: Parameters,
  spec: WeightSpec,
  layer?: number,
): Promise<Int4Source | undefined> {
  if (!isStoredInt4(parameters, spec, layer)) return undefined;
  const stored = tensorNames(spec, layer).map((name) => parameters.int4!(name)!.int4());
  const sources = (await Promise.all(stored)).filter((source) => source !== undefined);
  if (sources.length < stored.length) return undefined;
  return spec.name.includes('#') ? stackedInt4(sources) : sources[0];
}

/** The source of one weight, its shape checked against the config's. */
export function weightSource(parameters: Parameters, spec: WeightSpec, layer?: number): WeightSource {
  const source = find(parameters, spec, layer);
  if (source.shape.length !== spec.shape.length || source.shape.some((size, i) => size !== spec.shape[i]))
    throw new UserError(
      `${parameters.folder}: tensor ${source.name} is [${source.shape.join(',')}], but config.json says [${spec.shape.join(',')}]`,
    );
  return source;
}

function find(parameters: Parameters, spec: WeightSpec, layer?: number): WeightSource {
  const names = tensorNames(spec, layer);
  if (parameters.has(names[0])) {
    const sources = names.map((name) => {
      if (!parameters.has(name)) throw new UserError(`${parameters.folder}: tensor ${name} is missing`);
      return parameters.source(name);
    });
    return spec.name.includes('#') ? stackedSource(sources) : sources[0];
  }
  const fused = spec.fused && tensorName(spec.fused.name, layer);
  if (fused && parameters.has(fused)) {
    const source = parameters.source(fused);
    return spec.use === 'experts' ? sliceExperts(source, spec.fused!.from, spec.fused!.to) : source;
  }
  throw new UserError(`${parameters.folder}: tensor ${names[0]} is missing`, {
    hint: 'a dropped module must be named in drop_attn_list or drop_mlp_list of config.json',
  });
}

/** Normal numbers of deviation 1 / sqrt(in), norms near 1, for each name the same in every run. */
export function randomParameters(specs: readonly WeightSpec[], layers: number, seed: number): Parameters {
  const shapes = new Map<string, WeightSpec>();
  for (const spec of specs)
    for (let layer = 0; layer < (spec.name.includes('*') ? layers : 1); layer++)
      for (const name of tensorNames(spec, layer)) shapes.set(name, spec);
  return {
    folder: `random model (seed ${seed})`,
    has: (name) => shapes.has(name),
    source: (name) => {
      const spec = shapes.get(name)!;
      const shape = spec.use === 'experts' ? spec.shape.slice(1) : spec.shape;
      const isNorm = spec.use === 'vector' && spec.path.endsWith('norm');
      const scale = spec.use === 'vector' ? 0.1 : shape[shape.length - 1] ** -0.5;
      const draw = (): WeightSource => {
        const normal = normalNumbers(`${seed} ${name}`, sizeOf(shape));
        return arraySource(
          normal.map((x) => (isNorm ? 1 : 0) + scale * x),
          shape,
          { name },
        );
      };
      // Drawn when first read: what a quantizer replaces is never made.
      let drawn: WeightSource | undefined;
      return { name, shape, dtype: 'float32', readRows: (start, end) => (drawn ??= draw()).readRows(start, end) };
    },
  };
}
