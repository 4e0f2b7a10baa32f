import type { Shape, WeightUse } from '../engine/index.js';

/** The two kinds of modules that a decoder layer adds to the residual stream, and that can be dropped. */
export type ModuleKind = 'attention' | 'mlp';

/** Both, in running order. */
export const moduleKinds = ['attention', 'mlp'] as const satisfies readonly ModuleKind[];

/** As sentences name them. */
export const moduleWord: Readonly<Record<ModuleKind, string>> = { attention: 'attention', mlp: 'MLP' };

/**
 * What a weight does in its module. `output` writes to the residual stream: an attention's output projection, an MLP's
 * down projection. `query`, `key`, `value`, `gate` and `up` read the stream through the module's `norm`.
 */
export type WeightRole =
  | 'embedding'
  | 'head'
  /** At the entrance of a module, or of the head. */
  | 'norm'
  /** Of what a module adds to the stream. */
  | 'postNorm'
  | 'query'
  | 'key'
  | 'value'
  | 'queryNorm'
  | 'keyNorm'
  | 'gate'
  | 'up'
  | 'output'
  /** Weighs experts: [E, D], of a shared one [1, D]. */
  | 'router'
  | 'bias';

/** A part of a tensor that holds several weights: rows [from, to), of a stack of experts those of each expert. */
export interface FusedForm {
  /** Its name, `*` for the layer. */
  readonly tensor: string;
  readonly from: number;
  readonly to: number;
  /** Whether the family's own files hold the weight so, so that it is written so, too. @defaultValue false */
  readonly own?: boolean;
  /** The tensor of a GGUF file that holds the same weights, `*` for the layer. @defaultValue there each has its own */
  readonly gguf?: string;
}

/**
 * What is computed with, of what a Hugging Face checkpoint stores: 1 more than each value, or each row divided by its
 * length. GGUF files hold what is computed with.
 */
export type MadeOf = 'onePlus' | 'unitRows';

/** One weight of a model: what it is for, its shape, and where files hold it. */
export interface WeightSpec {
  /** The module that it belongs to, and its layer; undefined for embedding, head and the head's norm. */
  readonly module?: ModuleKind;
  readonly layer?: number;
  readonly role: WeightRole;
  /** Its place among its module's weights, the same in every layer: `attention.q.weight`. For reports and as a key; ask for roles instead. */
  readonly path: string;
  /** The linear map that a matrix or a bias is part of: `attention.q`. */
  readonly projection?: string;
  /** Of a bias: the role of its matrix. */
  readonly of?: WeightRole;
  /** [out, in], [experts, out, in], or [size]. */
  readonly shape: Shape;
  /** How it is used, which decides how a backend lays it out. */
  readonly use: WeightUse | 'vector';
  /** `*` stands for the layer. */
  readonly names: {
    /** The tensor of a Hugging Face checkpoint; of a stack one an expert, whose number `#` stands for. */
    readonly hf: string;
    /** The tensor of a GGUF file. */
    readonly gguf: string;
  };
  /** Other tensors that a checkpoint may hold it in. */
  readonly forms: readonly FusedForm[];
  /** @defaultValue it is what is stored */
  readonly made?: MadeOf;
  /** Rows that turn with the position: GGUF files of some architectures hold them in another order. */
  readonly rotates?: boolean;
}

const inLayer = (name: string, layer = 0): string => name.replace('*', String(layer));

/** The tensor of a Hugging Face checkpoint that holds a weight on its own, or one expert's part of a stack. */
export const tensorName = ({ names, layer }: WeightSpec, expert = 0): string =>
  inLayer(names.hf, layer).replace('#', String(expert));

/** All such tensors: one, or one an expert. */
export const tensorNames = (weight: WeightSpec): string[] =>
  Array.from({ length: weight.names.hf.includes('#') ? weight.shape[0] : 1 }, (_, expert) =>
    tensorName(weight, expert),
  );

/** The fused tensors that may hold it instead, by the forms. */
export const fusedNames = ({ forms, layer }: WeightSpec): string[] => forms.map(({ tensor }) => inLayer(tensor, layer));

/** The form in which the family's own files hold it, if it is a fused one. */
export const ownForm = ({ forms }: Pick<WeightSpec, 'forms'>): FusedForm | undefined => forms.find(({ own }) => own);

/** The tensors of the family's own files that hold it. */
export function ownNames(weight: WeightSpec): string[] {
  const form = ownForm(weight);
  return form ? [inLayer(form.tensor, weight.layer)] : tensorNames(weight);
}

/** The tensor of a GGUF file that holds it with others, where such files hold it so. */
export function fusedGgufName({ forms, layer }: Pick<WeightSpec, 'forms' | 'layer'>): string | undefined {
  const { gguf } = forms.find((form) => form.gguf) ?? {};
  return gguf && inLayer(gguf, layer);
}

/** Items one after the other, each alone but for those of one tensor, which `tensorOf` names. */
export function byTensor<T>(
  items: readonly T[],
  tensorOf: (item: T) => string | undefined,
): { readonly tensor?: string; readonly items: readonly T[] }[] {
  const groups: { tensor?: string; items: T[] }[] = [];
  for (const item of items) {
    const tensor = tensorOf(item);
    const group = tensor === undefined ? undefined : groups.find((other) => other.tensor === tensor);
    if (group) group.items.push(item);
    else groups.push({ tensor, items: [item] });
  }
  return groups;
}

export const ggufName = ({ names, layer }: WeightSpec): string => inLayer(names.gguf, layer);

/** Whether it is a matrix of one token's product: a projection, a router, a head of its own. */
export const isLinear = ({ use }: WeightSpec): boolean => use === 'linear' || use === 'experts';

/** Whether it is a matrix of a module that quantizers round: all but what routes tokens. */
export const isProjection = (weight: WeightSpec): boolean =>
  weight.module !== undefined && isLinear(weight) && weight.role !== 'router';

/** Whether tokens look rows up in it. */
export const isTable = ({ role }: WeightSpec): boolean => role === 'embedding' || role === 'head';

/** The weights of a role, perhaps of several projections. */
export const withRole = (weights: readonly WeightSpec[], role: WeightRole): WeightSpec[] =>
  weights.filter((weight) => weight.role === role);

/** The one weight of a role. Throws where there is none: callers know the kind of module that they ask. */
export function theWeight(weights: readonly WeightSpec[], role: WeightRole): WeightSpec {
  const found = weights.find((weight) => weight.role === role);
  if (!found) throw new Error(`there is no ${role} among ${weights.map(({ path }) => path).join(', ')}`);
  return found;
}

/** The role of a matrix, for its bias too. */
export const matrixRole = ({ role, of }: WeightSpec): WeightRole => of ?? role;

/** The bias of a projection's weight, where it has one. */
export const biasOf = (weights: readonly WeightSpec[], { projection }: WeightSpec): WeightSpec | undefined =>
  weights.find((weight) => weight.role === 'bias' && weight.projection === projection);

/** Where a checkpoint's tensor belongs. */
export interface Place {
  readonly weight: WeightSpec;
  /** Of a stack that the checkpoint holds as one tensor an expert. */
  readonly expert?: number;
}

/** Finds weights by the names of a checkpoint's tensors, fused ones included; a fused tensor gives its first weight. */
export function tensorPlaces(weights: readonly WeightSpec[]): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  const add = (name: string, place: Place): void => void (places.has(name) || places.set(name, place));
  for (const weight of weights) {
    const isStack = weight.use === 'experts';
    for (const [expert, name] of tensorNames(weight).entries()) add(name, isStack ? { weight, expert } : { weight });
  }
  for (const weight of weights) for (const name of fusedNames(weight)) add(name, { weight });
  return places;
}
