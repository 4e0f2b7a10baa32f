import { UserError, shownValue } from '../engine/index.js';
import { checkedIndices, uniform, type Drops } from '../models/index.js';
import type { Importance, Scores } from './importance.js';

export type Target = 'attention' | 'mlp' | 'block' | 'joint';
export const targets: readonly Target[] = ['attention', 'mlp', 'block', 'joint'];

export interface Constraints {
  /** Original layers of which nothing is dropped. */
  readonly keep?: readonly number[];
}

/** Chooses `count` candidates, by their positions in `scores`; null cannot be chosen. */
export type Selector = (scores: Scores, count: number) => number[];

/** The highest scores; of equal ones, the lower index. Ascending. */
export const mostRedundant: Selector = (scores, count) =>
  scores
    .flatMap((score, index) => (score === null ? [] : [{ score, index }]))
    .sort((a, b) => b.score - a.score || a.index - b.index)
    .slice(0, count)
    .map(({ index }) => index)
    .sort((a, b) => a - b);

/** Any `count` of those that can be chosen, by a seed: the control that a metric must beat. */
export function randomSelector(seed: number): Selector {
  return (scores, count) => {
    const next = uniform(seed);
    return mostRedundant(
      scores.map((score) => (score === null ? null : next())),
      count,
    );
  };
}

/** Fails where so many of a target cannot be dropped, of which there are `available`. */
export function checkCount(
  count: number,
  target: Target,
  available: number,
  { least = 0, hint }: { least?: number; hint?: string } = {},
): void {
  if (!Number.isInteger(count) || count < least || count > available)
    throw new UserError(`cannot drop ${count} of target '${target}': ${available} can be dropped`, { hint });
}

/**
 * Which modules to drop: `count` attentions, MLPs, blocks, or (joint) sub-layers of either kind ranked together
 * (LLM-Drop, section 3.3). Indices are the original layers'.
 */
export function selectDrops(
  importance: Importance,
  target: Target,
  count: number,
  o: Constraints & { selector?: Selector } = {},
): Drops {
  const { similarity } = importance;
  const layers = similarity.attention.length;
  const kept = new Set(checkedIndices(o.keep ?? [], layers, '`keep`'));
  const scores = candidateScores(similarity, target).map((score, i) => (kept.has(i % layers) ? null : score));
  const available = scores.filter((score) => score !== null).length;
  checkCount(count, target, available, { hint: `${layers} layers, less those kept or already dropped` });
  const chosen = (o.selector ?? mostRedundant)(scores, count);
  switch (target) {
    case 'attention':
      return { attention: chosen, mlp: [] };
    case 'mlp':
      return { attention: [], mlp: chosen };
    case 'block':
      return { attention: chosen, mlp: chosen };
    case 'joint':
      return {
        attention: chosen.filter((i) => i < layers),
        mlp: chosen.filter((i) => i >= layers).map((i) => i - layers),
      };
  }
}

/** Of joint, attentions first and then MLPs: a candidate's layer is its index modulo the number of layers. */
function candidateScores({ attention, mlp, block }: Importance['similarity'], target: Target): Scores {
  switch (target) {
    case 'attention':
      return attention;
    case 'mlp':
      return mlp;
    case 'block':
      return block;
    case 'joint':
      return [...attention, ...mlp];
    default:
      throw new UserError(`there is no target ${shownValue(target)}`, { hint: `choose one of ${targets.join(', ')}` });
  }
}
