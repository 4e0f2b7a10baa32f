/** Mixtures of experts, with the names of their tensors. D hidden, I intermediate, E experts. */
import { shownValue } from '../../engine/index.js';
import { type JsonObject } from '../../checkpoint/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type { LayerDescription, MixtureDescription, SharedExpertDescription } from '../description.js';
import type { FusedForm, WeightRole, WeightSpec } from '../weights.js';
import { moduleNorms } from './norms.js';
import { projection, type Place } from './weightParts.js';

/** How a family's files name a mixture's tensors; `#` stands for the expert. */
export interface ExpertNames {
  readonly router: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** The names of most families. */
export const expertNames: ExpertNames = {
  router: 'mlp.gate.weight',
  gate: 'mlp.experts.#.gate_proj.weight',
  up: 'mlp.experts.#.up_proj.weight',
  down: 'mlp.experts.#.down_proj.weight',
};

/** An expert for every token: its width, and what its tensors' names begin with; the router's is that of what weighs it. */
export interface SharedOptions {
  readonly intermediateSize: number;
  readonly name: string;
  readonly router?: string;
}

export interface MixtureOptions extends Pick<
  MixtureDescription,
  'activation' | 'experts' | 'normalise' | 'scale' | 'topK'
> {
  /** Of an expert. @defaultValue the config's */
  readonly intermediateSize?: number;
  readonly shared?: SharedOptions;
}

/** The sum over each token's top experts e of p_e * down_e(activation(gate_e x) * up_e x), p by softmax(router x). */
export function mixture(
  c: ModelConfig,
  layer: number,
  names: ExpertNames,
  { intermediateSize: I = c.intermediateSize, shared: sharedOptions, ...o }: MixtureOptions,
): MixtureDescription {
  const at: Place = { module: 'mlp', layer };
  const [D, E] = [c.hiddenSize, o.experts];
  const within = (name: string): string => `model.layers.*.${name}`;
  const gateUp = within('mlp.experts.gate_up_proj');
  const expert = (
    role: WeightRole,
    name: 'gate' | 'up' | 'down',
    out: number,
    width: number,
    fused: FusedForm,
  ): WeightSpec => ({
    ...at,
    role,
    path: `mlp.experts.${name}.weight`,
    projection: `mlp.experts.${name}`,
    shape: [E, out, width],
    use: 'experts',
    names: { hf: within(names[name]), gguf: `blk.*.ffn_${name}_exps.weight` },
    forms: [fused],
  });
  const { normWeights, ...around } = moduleNorms(c, at);
  const shared = sharedOptions && sharedExpert(at, D, sharedOptions);
  return {
    kind: 'mixture',
    ...around,
    intermediateSize: I,
    ...o,
    ...(shared && { shared }),
    weights: [
      ...normWeights,
      {
        ...at,
        role: 'router',
        path: 'mlp.router.weight',
        projection: 'mlp.router',
        shape: [E, D],
        use: 'linear',
        names: { hf: within(names.router), gguf: 'blk.*.ffn_gate_inp.weight' },
        forms: names.router === expertNames.router ? [] : [{ tensor: within(expertNames.router), from: 0, to: E }],
      },
      expert('gate', 'gate', I, D, { tensor: gateUp, from: 0, to: I }),
      expert('up', 'up', I, D, { tensor: gateUp, from: I, to: 2 * I }),
      expert('output', 'down', D, I, { tensor: within('mlp.experts.down_proj'), from: 0, to: D }),
      ...(shared?.weights ?? []),
    ],
  };
}

function sharedExpert(
  at: Place,
  D: number,
  { intermediateSize: I, name, router }: SharedOptions,
): SharedExpertDescription {
  const project = (
    role: WeightRole,
    key: string,
    shape: readonly [number, number],
    hf: string,
    gguf: string,
  ): WeightSpec[] => projection(at, role, `shared.${key}`, shape, { hf, gguf });
  return {
    intermediateSize: I,
    weights: [
      ...(router ? project('router', 'router', [1, D], router, 'ffn_gate_inp_shexp') : []),
      ...project('gate', 'gate', [I, D], `${name}.gate_proj`, 'ffn_gate_shexp'),
      ...project('up', 'up', [I, D], `${name}.up_proj`, 'ffn_up_shexp'),
      ...project('output', 'down', [D, I], `${name}.down_proj`, 'ffn_down_shexp'),
    ],
  };
}

/** How many experts there are, under the family's key or transformers' for any, which is `said`; and how many a token visits. */
export function expertCounts(
  read: ConfigReader,
  key: string,
): { readonly experts: number; readonly topK: number; readonly said: string } {
  const said =
    Object.hasOwn(read.raw, key) || read.value('num_local_experts') === undefined ? key : 'num_local_experts';
  return { experts: read.experts(said), topK: read.count('num_experts_per_tok'), said };
}

/** Qwen's keys for these layers. */
export const sparseKeys = (layers: readonly LayerDescription[]): JsonObject => ({
  decoder_sparse_step: 1,
  mlp_only_layers: [...layers.keys()].filter((layer) => layers[layer].mlp.kind !== 'mixture'),
});

/** Which layers are mixtures by Qwen's keys: every `decoder_sparse_step`-th, but for `mlp_only_layers`. */
export function sparseLayers(read: ConfigReader, { numHiddenLayers }: ModelConfig): boolean[] {
  const step = read.count('decoder_sparse_step');
  const dense = read.value('mlp_only_layers') ?? [];
  if (!Array.isArray(dense) || dense.some((layer) => !Number.isInteger(layer)))
    read.fail(`mlp_only_layers must be a list of layers, found ${shownValue(dense)}`);
  return Array.from({ length: numHiddenLayers }, (_, layer) => !dense.includes(layer) && (layer + 1) % step === 0);
}
