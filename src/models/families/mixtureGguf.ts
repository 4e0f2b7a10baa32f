import { f32, u32 } from '../../checkpoint/index.js';
import type { Conventions, LayerDescription, MixtureDescription } from '../description.js';
import { anyOf, unlikeFullHeads, unlikeUntied, type Unlike } from './ggufAssumptions.js';

/** How llama.cpp computes mixtures of an architecture, without being told. */
interface Known {
  /** Whether the weights of the chosen experts are divided by their sum. */
  readonly normalised: boolean;
  /** Whether the first layers may be dense; all others are mixtures. */
  readonly leadingDense?: boolean;
  /** Which of queries, keys and values have biases. */
  readonly bias: boolean;
  /** What else is taken for granted. */
  readonly others?: readonly Unlike[];
  /** What the file says of the mixtures, beside the width of an expert. */
  readonly keys?: (mixture: MixtureDescription, leading: number) => ReturnType<LayerMetadata>;
}

type LayerMetadata = NonNullable<Conventions['gguf']['layerMetadata']>;

const mixturesOf = (layers: readonly LayerDescription[]): MixtureDescription[] =>
  layers.map(({ mlp }) => mlp).filter((mlp) => mlp.kind === 'mixture');

/** How many of the first layers are dense. */
export function leadingDense(layers: readonly LayerDescription[]): number {
  const first = layers.findIndex(({ mlp }) => mlp.kind === 'mixture');
  return first < 0 ? layers.length : first;
}

/** What llama.cpp's files of mixtures say of layers, and which layers they cannot say. */
const mixtureGguf = ({
  normalised,
  leadingDense: mayLead = false,
  bias,
  others = [],
  keys,
}: Known): Pick<Conventions['gguf'], 'layerMetadata' | 'unlike'> => ({
  unlike: anyOf(
    (layers) => {
      const mixtures = mixturesOf(layers);
      const leading = leadingDense(layers);
      if (!mixtures.length || mixtures.length + (mayLead ? leading : 0) < layers.length)
        return `that every layer${mayLead ? ' behind the first ones' : ''} has experts`;
      if (mixtures.some(({ normalise }) => normalise !== normalised))
        return `that the weights of a token's experts are ${normalised ? '' : 'not '}divided by their sum`;
      if (layers.some(({ attention }) => attention.weights.some(({ of }) => of === 'query') !== bias))
        return `that queries have ${bias ? '' : 'no '}biases`;
      return undefined;
    },
    ...others,
  ),
  layerMetadata: (layers) => {
    const [mixture] = mixturesOf(layers);
    return {
      expert_feed_forward_length: u32(mixture.intermediateSize),
      ...keys?.(mixture, leadingDense(layers)),
    };
  },
});

/** Qwen2-MoE's. */
export const qwen2MoeGguf = mixtureGguf({
  normalised: false,
  bias: true,
  others: [unlikeFullHeads, unlikeUntied],
  keys: ({ shared }) => ({ expert_shared_feed_forward_length: u32(shared!.intermediateSize) }),
});

/** Qwen3-MoE's. */
export const qwen3MoeGguf = mixtureGguf({ normalised: true, bias: false });

/** DeepSeek-MoE's, whose shared expert is as wide as several. */
export const deepseekGguf = mixtureGguf({
  normalised: false,
  leadingDense: true,
  bias: false,
  others: [unlikeFullHeads],
  keys: ({ shared, intermediateSize, scale = 1 }, leading) => ({
    leading_dense_block_count: u32(leading),
    expert_shared_count: u32(shared ? shared.intermediateSize / intermediateSize : 0),
    expert_weights_scale: f32(scale),
  }),
});

/** How llama.cpp calls a model of this family, and what it calls one none of whose layers has experts. */
export const ggufOf = (
  layers: readonly LayerDescription[],
  mixtures: Conventions['gguf'],
  dense: Conventions['gguf'],
): Conventions['gguf'] => (mixturesOf(layers).length ? mixtures : dense);
