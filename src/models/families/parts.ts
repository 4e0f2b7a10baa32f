/**
 * The parts that most families are made of, with the names of their tensors. D hidden, I intermediate, H heads, K
 * key-value heads, d head size, V vocabulary, E experts.
 */
import { shownValue } from '../../checkpoint/index.js';
import type { Activation } from '../../engine/index.js';
import type { ModelConfig } from '../config.js';
import type { ConfigReader } from '../configReader.js';
import type {
  AttentionDescription,
  EmbeddingDescription,
  GatedMlpDescription,
  HeadDescription,
  MixtureDescription,
} from '../description.js';
import type { FusedForm, ModuleKind, WeightRole, WeightSpec } from '../weights.js';

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
): WeightSpec => ({
  module,
  layer,
  role,
  path: `${module}.${key}`,
  shape: [size],
  use: 'vector',
  names: { hf: `model.layers.*.${names.hf}`, gguf: `blk.*.${names.gguf}` },
  forms: [],
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

/** Embedding and head, one weight where they are tied. */
export function vocabulary({ vocabSize: V, hiddenSize: D, tieWordEmbeddings: tied, rmsNormEps }: ModelConfig): {
  readonly embedding: EmbeddingDescription;
  readonly head: HeadDescription;
} {
  const global = (
    role: WeightRole,
    path: string,
    shape: readonly number[],
    use: WeightSpec['use'],
    hf: string,
    gguf: string,
  ): WeightSpec => ({ role, path, shape, use, names: { hf, gguf }, forms: [] });
  return {
    embedding: {
      weight: global(
        'embedding',
        'embedding',
        [V, D],
        tied ? 'both' : 'embedding',
        'model.embed_tokens.weight',
        'token_embd.weight',
      ),
    },
    head: {
      norm: {
        epsilon: rmsNormEps,
        weight: global('norm', 'norm', [D], 'vector', 'model.norm.weight', 'output_norm.weight'),
      },
      weight: tied ? undefined : global('head', 'head', [V, D], 'linear', 'lm_head.weight', 'output.weight'),
    },
  };
}

/** `o(attention(q(norm(x)), k(norm(x)), v(norm(x))))`, as Llama has it. */
export function groupedAttention(
  c: ModelConfig,
  layer: number,
  o: { readonly window?: number; readonly queryKeyNorm?: 'head' } = {},
): AttentionDescription {
  const at: Place = { module: 'attention', layer };
  const [D, H, K, d] = [c.hiddenSize, c.numAttentionHeads, c.numKeyValueHeads, c.headDim];
  const project = (role: WeightRole, name: string, out: number, width: number, rotates = false): WeightSpec[] =>
    projection(
      at,
      role,
      name,
      [out, width],
      { hf: `self_attn.${name}_proj`, gguf: name === 'o' ? 'attn_output' : `attn_${name}` },
      { bias: c.attentionBias, rotates },
    );
  const headNorm = (role: WeightRole, name: string): WeightSpec =>
    vector(at, role, `${name}Norm`, d, { hf: `self_attn.${name}_norm.weight`, gguf: `attn_${name}_norm.weight` });
  return {
    kind: 'attention',
    norm: { epsilon: c.rmsNormEps },
    heads: H,
    keyValueHeads: K,
    headDim: d,
    scale: d ** -0.5,
    window: o.window,
    rope: c.rope,
    queryKeyNorm: o.queryKeyNorm && { over: o.queryKeyNorm, epsilon: c.rmsNormEps },
    weights: [
      vector(at, 'norm', 'norm', D, { hf: 'input_layernorm.weight', gguf: 'attn_norm.weight' }),
      ...project('query', 'q', H * d, D, true),
      ...project('key', 'k', K * d, D, true),
      ...project('value', 'v', K * d, D),
      ...project('output', 'o', D, H * d),
      ...(o.queryKeyNorm ? [headNorm('queryNorm', 'q'), headNorm('keyNorm', 'k')] : []),
    ],
  };
}

const mlpNorm = (c: ModelConfig, at: Place): WeightSpec =>
  vector(at, 'norm', 'norm', c.hiddenSize, { hf: 'post_attention_layernorm.weight', gguf: 'ffn_norm.weight' });

/** `down(activation(gate(norm(x))) * up(norm(x)))` */
export function gatedMlp(c: ModelConfig, layer: number, activation: Activation): GatedMlpDescription {
  const at: Place = { module: 'mlp', layer };
  const [D, I] = [c.hiddenSize, c.intermediateSize];
  const project = (role: WeightRole, name: string, out: number, width: number): WeightSpec[] =>
    projection(at, role, name, [out, width], { hf: `mlp.${name}_proj`, gguf: `ffn_${name}` }, { bias: c.mlpBias });
  return {
    kind: 'gated',
    norm: { epsilon: c.rmsNormEps },
    intermediateSize: I,
    activation,
    weights: [
      mlpNorm(c, at),
      ...project('gate', 'gate', I, D),
      ...project('up', 'up', I, D),
      ...project('output', 'down', D, I),
    ],
  };
}

/** How a family's files name a mixture's tensors; `#` stands for the expert. */
export interface ExpertNames {
  readonly router: string;
  readonly gate: string;
  readonly up: string;
  readonly down: string;
}

/** The sum over each token's top experts e of p_e * down_e(activation(gate_e x) * up_e x), p by softmax(router x). */
export function mixture(
  c: ModelConfig,
  layer: number,
  names: ExpertNames,
  o: Pick<MixtureDescription, 'experts' | 'topK' | 'normalise' | 'activation'>,
): MixtureDescription {
  const at: Place = { module: 'mlp', layer };
  const [D, I, E] = [c.hiddenSize, c.intermediateSize, o.experts];
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
  return {
    kind: 'mixture',
    norm: { epsilon: c.rmsNormEps },
    intermediateSize: I,
    ...o,
    weights: [
      mlpNorm(c, at),
      {
        ...at,
        role: 'router',
        path: 'mlp.router.weight',
        projection: 'mlp.router',
        shape: [E, D],
        use: 'linear',
        names: { hf: within(names.router), gguf: 'blk.*.ffn_gate_inp.weight' },
        forms: [{ tensor: within('mlp.gate.weight'), from: 0, to: E }],
      },
      expert('gate', 'gate', I, D, { tensor: gateUp, from: 0, to: I }),
      expert('up', 'up', I, D, { tensor: gateUp, from: I, to: 2 * I }),
      expert('output', 'down', D, I, { tensor: within('mlp.experts.down_proj'), from: 0, to: D }),
    ],
  };
}

const activations: Readonly<Record<string, Activation>> = {
  silu: 'silu',
  swish: 'silu',
};

/** `hidden_act`, which some families call `hidden_activation`. */
export function readActivation(read: ConfigReader): Activation {
  const name = read.value('hidden_act') ?? read.value('hidden_activation');
  const found = typeof name === 'string' && Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found)
    read.fail(`hidden_act ${shownValue(name)} is not supported`, `${Object.keys(activations).join(', ')} are`);
  return found;
}
