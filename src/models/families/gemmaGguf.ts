import type { ModelConfig } from '../config.js';
import type { LayerDescription } from '../description.js';

/**
 * What llama.cpp takes for granted of Gemma's layers: which of them slide, by their numbers, and that scores are scaled by
 * the head size, in a model of as many layers as the largest one by the hidden size.
 */
export const unlikeGemma =
  (
    { hiddenSize, numAttentionHeads }: ModelConfig,
    slides: (layer: number) => boolean,
    layersOfLargest: number,
  ): ((layers: readonly LayerDescription[]) => string | undefined) =>
  (layers) => {
    const other = layers.findIndex(({ attention }, layer) => (attention.window !== undefined) !== slides(layer));
    if (other >= 0) return `of which layer ${other} ${slides(other) ? 'slides' : 'does not slide'}`;
    const scale = ({ headDim }: { headDim: number }): number =>
      (layers.length === layersOfLargest ? hiddenSize / numAttentionHeads : headDim) ** -0.5;
    if (layers.some(({ attention }) => Math.abs(attention.scale / scale(attention) - 1) > 1e-6))
      return 'whose scores are scaled by the size of a head';
    return undefined;
  };
