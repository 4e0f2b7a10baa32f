/** Weights of modules, with the names of their tensors. */
import type { FusedForm, MadeOf, ModuleKind, WeightRole, WeightSpec } from '../weights.js';

/** Where a module's weights lie. */
export interface Place {
  readonly module: ModuleKind;
  readonly layer: number;
}

/** A vector of a module: a norm's gain, say. `key` is its place among the module's weights. */
export const vector = (
  { module, layer }: Place,
  role: WeightRole,
  key: string,
  size: number,
  names: { readonly hf: string; readonly gguf: string },
  made?: MadeOf,
): WeightSpec => ({
  module,
  layer,
  role,
  path: `${module}.${key}`,
  shape: [size],
  use: 'vector',
  names: { hf: `model.layers.*.${names.hf}`, gguf: `blk.*.${names.gguf}` },
  forms: [],
  ...(made && { made }),
});

export interface ProjectionOptions {
  readonly bias?: boolean;
  readonly rotates?: boolean;
  readonly forms?: readonly FusedForm[];
}

/** A projection's weight [out, in], and its bias where it has one; names without `.weight` and `.bias`. */
export function projection(
  { module, layer }: Place,
  role: WeightRole,
  key: string,
  [out, width]: readonly [number, number],
  names: { readonly hf: string; readonly gguf: string },
  { bias = false, rotates, forms = [] }: ProjectionOptions = {},
): WeightSpec[] {
  const part = (kind: 'weight' | 'bias'): Pick<WeightSpec, 'module' | 'layer' | 'path' | 'projection' | 'names'> => ({
    module,
    layer,
    path: `${module}.${key}.${kind}`,
    projection: `${module}.${key}`,
    names: { hf: `model.layers.*.${names.hf}.${kind}`, gguf: `blk.*.${names.gguf}.${kind}` },
  });
  const weight: WeightSpec = { ...part('weight'), role, shape: [out, width], use: 'linear', forms, rotates };
  return bias
    ? [weight, { ...part('bias'), role: 'bias', of: role, shape: [out], use: 'vector', forms: [], rotates }]
    : [weight];
}

/** The tensor in which a family's files hold several projections, one above the other; names without `.weight`. */
export interface Fused {
  readonly hf: string;
  /** Where GGUF files hold them so, too. */
  readonly gguf?: string;
}

/** A projection's rows in such a tensor. */
export const fusedForms = (fused: Fused | undefined, from: number, rows: number): FusedForm[] =>
  fused
    ? [
        {
          tensor: `model.layers.*.${fused.hf}.weight`,
          from,
          to: from + rows,
          own: true,
          ...(fused.gguf && { gguf: `blk.*.${fused.gguf}.weight` }),
        },
      ]
    : [];
