import type { Shape, WeightUse } from '../engine/index.js';

/**
 * One line of a family's map between a checkpoint's tensors and the model's modules. In `name`, `*` stands for the
 * layer and `#` for the expert; a name with `#` is a stack of one tensor an expert.
 */
export interface WeightSpec {
  /** Where it goes: `embedding`, `norm`, `head`, or `attention.q.weight` and the like within a layer. */
  readonly path: string;
  readonly name: string;
  readonly shape: Shape;
  readonly use: WeightUse | 'vector';
  /** The same weight as newer files hold it: rows [from, to) of every expert of one fused tensor. */
  readonly fused?: { readonly name: string; readonly from: number; readonly to: number };
}

export type ModuleKind = 'attention' | 'mlp';

export const vector = (path: string, name: string, size: number): WeightSpec => ({
  path,
  name,
  shape: [size],
  use: 'vector',
});

/** A projection's weight [out, in], and its bias where it has one. */
export const projection = (path: string, name: string, out: number, width: number, bias = false): WeightSpec[] => [
  { path: `${path}.weight`, name: `${name}.weight`, shape: [out, width], use: 'linear' },
  ...(bias ? [vector(`${path}.bias`, `${name}.bias`, out)] : []),
];

/** The specs of one module: those whose path starts with its name. */
export const moduleSpecs = (specs: readonly WeightSpec[], kind: ModuleKind): WeightSpec[] =>
  specs.filter(({ path }) => path.startsWith(`${kind}.`));

/** The specs that belong to no layer. */
export const globalSpecs = (specs: readonly WeightSpec[]): WeightSpec[] =>
  specs.filter(({ name }) => !name.includes('*'));

/** A tensor's name in the checkpoint. */
export const tensorName = (name: string, layer = 0, expert = 0): string =>
  name.replace('*', String(layer)).replace('#', String(expert));

/** All names in the checkpoint of one weight: one, or one an expert. */
export const tensorNames = (spec: WeightSpec, layer?: number): string[] =>
  spec.name.includes('#')
    ? Array.from({ length: spec.shape[0] }, (_, expert) => tensorName(spec.name, layer, expert))
    : [tensorName(spec.name, layer)];

/** The map read backwards: which module a checkpoint's tensor belongs to. */
export interface Place {
  readonly spec: WeightSpec;
  readonly layer?: number;
  readonly expert?: number;
}

export function placeOf(specs: readonly WeightSpec[], tensor: string): Place | undefined {
  for (const spec of specs)
    for (const name of [spec.name, spec.fused?.name ?? spec.name]) {
      const marks = [...name.matchAll(/[*#]/g)].map(([mark]) => mark);
      const pattern = name.replace(/[.]/g, '\\.').replace(/[*#]/g, '(\\d+)');
      const found = new RegExp(`^${pattern}$`).exec(tensor);
      if (!found) continue;
      const number = (mark: string): number | undefined =>
        marks.includes(mark) ? Number(found[marks.indexOf(mark) + 1]) : undefined;
      return { spec, layer: number('*'), expert: number('#') };
    }
  return undefined;
}
