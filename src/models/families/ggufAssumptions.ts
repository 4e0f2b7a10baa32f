/** What llama.cpp takes for granted of architectures, and does not read from a file: each says what of it is not so. */
import { layerWeights, type Conventions, type LayerDescription } from '../description.js';
import type { WeightRole } from '../weights.js';

export type Unlike = NonNullable<Conventions['gguf']['unlike']>;

/** What of several is not so first. */
export const anyOf =
  (...checks: readonly Unlike[]): Unlike =>
  (layers, model) => {
    for (const check of checks) {
      const found = check(layers, model);
      if (found !== undefined) return found;
    }
    return undefined;
  };

export const unlikeFullHeads: Unlike = (_layers, { config: { numAttentionHeads, headDim, hiddenSize } }) =>
  numAttentionHeads * headDim === hiddenSize ? undefined : 'that all heads together are as wide as the stream';

export const unlikeUntied: Unlike = (_layers, { head }) =>
  head.weight ? undefined : 'that the head is not the embedding';

const mayBeBiased: readonly (WeightRole | undefined)[] = ['query', 'key', 'value'];

/** Of architectures that know biases of queries, keys and values alone. */
export const unlikeUnbiased: Unlike = (layers) =>
  layers.flatMap(layerWeights).some(({ role, of }) => role === 'bias' && !mayBeBiased.includes(of))
    ? 'that outputs of attentions, and MLPs, have no biases'
    : undefined;

/** How llama.cpp computes a generation of Gemma, without being told. */
interface Known {
  /** Which layers have a window. */
  readonly slides: (layer: number) => boolean;
  /** Whether scores and logits have soft caps. */
  readonly caps: boolean;
  /** Whether the head must be the embedding. */
  readonly tied: boolean;
  /** Scores are scaled by the size of a head, but in the largest model, of so many layers, by the hidden size. */
  readonly largest: number;
}

export const unlikeGemma =
  ({ slides, caps, tied, largest }: Known): Unlike =>
  (layers, { config: { hiddenSize, numAttentionHeads, slidingWindow, rope }, head }) => {
    // Where no layer has a window, the file says one of the whole context, and the kinds may still turn by other bases.
    const isKnown = ({ attention }: LayerDescription, layer: number): boolean =>
      slidingWindow === undefined
        ? attention.rope === rope || slides(layer)
        : (attention.window !== undefined) === slides(layer);
    const other = layers.findIndex((layer, at) => !isKnown(layer, at));
    if (other >= 0) return `that layer ${other} has ${slides(other) ? 'a' : 'no'} window`;
    if ([head, ...layers.map(({ attention }) => attention)].some(({ softCap }) => (softCap !== undefined) !== caps))
      return `that scores and logits have ${caps ? '' : 'no '}soft caps`;
    if (tied && head.weight) return 'that the head is the embedding';
    const scale = ({ headDim }: { headDim: number }): number =>
      (layers.length === largest ? hiddenSize / numAttentionHeads : headDim) ** -0.5;
    if (layers.some(({ attention }) => Math.abs(attention.scale / scale(attention) - 1) > 1e-6))
      return `that scores are scaled by the ${layers.length === largest ? 'hidden size' : 'size of a head'}`;
    return undefined;
  };
