import type { Conventions, LayerDescription } from '../description.js';

/** How llama.cpp computes a generation of Gemma, without being told. */
interface Known {
  /** Which layers have a window. */
  readonly slides: (layer: number) => boolean;
  /** Whether scores and logits have soft caps. */
  readonly caps: boolean;
  /** Scores are scaled by the size of a head, but in the largest model, of so many layers, by the hidden size. */
  readonly largest: number;
}

/** What llama.cpp takes for granted of Gemma's layers, and these are not so. */
export const unlikeGemma =
  ({ slides, caps, largest }: Known): NonNullable<Conventions['gguf']['unlike']> =>
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
    const scale = ({ headDim }: { headDim: number }): number =>
      (layers.length === largest ? hiddenSize / numAttentionHeads : headDim) ** -0.5;
    if (layers.some(({ attention }) => Math.abs(attention.scale / scale(attention) - 1) > 1e-6))
      return `that scores are scaled by the ${layers.length === largest ? 'hidden size' : 'size of a head'}`;
    return undefined;
  };
