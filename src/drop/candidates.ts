import type { Drops, Model, ModuleKind } from '../models/index.js';
import type { Target } from './select.js';

/** A module, or both of a block, and the first layer whose input its absence changes. */
export interface Candidate {
  readonly drops: Drops;
  readonly layer: number;
}

/** All that one drop of a target can take away, under the model's present skip flags; nothing of the layers `kept`. */
export function candidates(model: Pick<Model, 'layers'>, target: Target, kept: readonly number[]): Candidate[] {
  const open = model.layers.filter(({ index }) => !kept.includes(index));
  const of = (kind: ModuleKind): Candidate[] =>
    open
      .filter((layer) => !layer.skips(kind))
      .map(({ index }) => ({ drops: { attention: [], mlp: [], [kind]: [index] }, layer: index }));
  if (target === 'block')
    return open
      .filter((l) => !l.skipAttention || !l.skipMlp)
      .map(({ index }) => ({ drops: { attention: [index], mlp: [index] }, layer: index }));
  return target === 'joint' ? [...of('attention'), ...of('mlp')] : of(target);
}
