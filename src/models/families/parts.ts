/**
 * The parts that most families are made of, with the names of their tensors. D hidden, I intermediate, H heads, K
 * key-value heads, d head size, V vocabulary.
 */
import type { Activation } from '../../engine/index.js';
import type { ModelConfig } from '../config.js';
import type {
  AttentionDescription,
  EmbeddingDescription,
  GatedMlpDescription,
  HeadDescription,
} from '../description.js';
import type { FusedForm, MadeOf, WeightRole, WeightSpec } from '../weights.js';
import { moduleNorms, type Norms } from './norms.js';
import { fusedForms, projection, vector, type Fused, type Place } from './weightParts.js';

export { readActivation } from './activations.js';

export interface VocabularyOptions extends Pick<HeadDescription, 'scale' | 'softCap'> {
  /** Multiplies the embedding's rows. @defaultValue 1 */
  readonly embeddingScale?: number;
  readonly norms?: Norms;
  /** Of the head, where it is not the embedding. @defaultValue it is what is stored */
  readonly headMade?: MadeOf;
}

/** Embedding and head, one weight where they are tied. */
export function vocabulary(
  { vocabSize: V, hiddenSize: D, tieWordEmbeddings: tied, rmsNormEps }: ModelConfig,
  { embeddingScale, norms = {}, headMade, ...o }: VocabularyOptions = {},
): {
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
    made?: MadeOf,
  ): WeightSpec => ({ role, path, shape, use, names: { hf, gguf }, forms: [], ...(made && { made }) });
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
      // In float32 everywhere, as a backend of float64 would multiply with another number.
      ...(embeddingScale !== undefined && { scale: Math.fround(embeddingScale) }),
    },
    head: {
      ...o,
      norm: {
        epsilon: rmsNormEps,
        weight: global('norm', 'norm', [D], 'vector', 'model.norm.weight', 'output_norm.weight', norms.made),
      },
      weight: tied ? undefined : global('head', 'head', [V, D], 'linear', 'lm_head.weight', 'output.weight', headMade),
    },
  };
}

export interface GroupedAttentionOptions extends Partial<
  Pick<AttentionDescription, 'multiplier' | 'rope' | 'rotaryDim' | 'scale' | 'slopes' | 'softCap' | 'window'>
> {
  readonly queryKeyNorm?: 'head' | 'all';
  readonly norms?: Norms;
  /** Which projections have biases: those that read the stream, or all. @defaultValue by the config's `attentionBias` */
  readonly bias?: 'inputs' | 'all' | 'none';
  /** Queries, keys and values in one tensor. */
  readonly fused?: Fused;
}

/** `o(attention(q(norm(x)), k(norm(x)), v(norm(x))))`, as Llama has it but for what is said. */
export function groupedAttention(
  c: ModelConfig,
  layer: number,
  { queryKeyNorm, norms = {}, bias = c.attentionBias ? 'all' : 'none', fused, ...o }: GroupedAttentionOptions = {},
): AttentionDescription {
  const at: Place = { module: 'attention', layer };
  const [D, H, K, d] = [c.hiddenSize, c.numAttentionHeads, c.numKeyValueHeads, c.headDim];
  const input = (role: WeightRole, name: string, heads: number, firstHead: number, rotates = false): WeightSpec[] =>
    projection(
      at,
      role,
      name,
      [heads * d, D],
      { hf: `self_attn.${name}_proj`, gguf: `attn_${name}` },
      { bias: bias !== 'none', rotates, forms: fusedForms(fused, firstHead * d, heads * d) },
    );
  const headNorm = (role: WeightRole, name: string, heads: number): WeightSpec =>
    vector(
      at,
      role,
      `${name}Norm`,
      queryKeyNorm === 'all' ? heads * d : d,
      { hf: `self_attn.${name}_norm.weight`, gguf: `attn_${name}_norm.weight` },
      norms.made,
    );
  const { normWeights, ...around } = moduleNorms(c, at, norms);
  return {
    kind: 'attention',
    ...around,
    heads: H,
    keyValueHeads: K,
    headDim: d,
    scale: d ** -0.5,
    window: undefined,
    rope: c.rope,
    queryKeyNorm: queryKeyNorm && { over: queryKeyNorm, epsilon: c.rmsNormEps },
    ...o,
    weights: [
      ...normWeights,
      ...input('query', 'q', H, 0, true),
      ...input('key', 'k', K, H, true),
      ...input('value', 'v', K, H + K),
      ...projection(
        at,
        'output',
        'o',
        [D, H * d],
        { hf: 'self_attn.o_proj', gguf: 'attn_output' },
        { bias: bias === 'all', rotates: false },
      ),
      ...(queryKeyNorm ? [headNorm('queryNorm', 'q', H), headNorm('keyNorm', 'k', K)] : []),
    ],
  };
}

export interface GatedMlpOptions extends Pick<GatedMlpDescription, 'multiplier'> {
  readonly norms?: Norms;
  /** Gate and up in one tensor. */
  readonly fused?: Fused;
}

/** `down(activation(gate(norm(x))) * up(norm(x)))`, with a norm behind or a multiplier where that is said. */
export function gatedMlp(
  c: ModelConfig,
  layer: number,
  activation: Activation,
  { norms = {}, fused, ...o }: GatedMlpOptions = {},
): GatedMlpDescription {
  const at: Place = { module: 'mlp', layer };
  const [D, I] = [c.hiddenSize, c.intermediateSize];
  const project = (
    role: WeightRole,
    name: string,
    shape: readonly [number, number],
    forms: FusedForm[],
  ): WeightSpec[] =>
    projection(at, role, name, shape, { hf: `mlp.${name}_proj`, gguf: `ffn_${name}` }, { bias: c.mlpBias, forms });
  const { normWeights, ...around } = moduleNorms(c, at, norms);
  return {
    kind: 'gated',
    ...around,
    intermediateSize: I,
    activation,
    ...o,
    weights: [
      ...normWeights,
      ...project('gate', 'gate', [I, D], fusedForms(fused, 0, I)),
      ...project('up', 'up', [I, D], fusedForms(fused, I, I)),
      ...project('output', 'down', [D, I], []),
    ],
  };
}
