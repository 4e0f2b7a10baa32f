import type { Importance, Scores } from '../../../src/drop/index.js';

/** Importance with these scores; what is left out scores 0 everywhere, and there are no windows. */
export function importanceWith(
  layers: number,
  o: Partial<Importance['similarity']> & { windows?: readonly Scores[] } = {},
): Importance {
  const zeros = Array.from({ length: layers }, () => 0);
  const { windows = [], ...similarity } = o;
  return {
    metric: 'cosine',
    samples: 1,
    length: 2,
    tokens: 2,
    similarity: { attention: zeros, mlp: zeros, block: zeros, attentionBare: zeros, mlpBare: zeros, ...similarity },
    blockConsecutive: windows,
  };
}
