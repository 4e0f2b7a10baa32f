import { UserError } from '../engine/index.js';
import { checkedIndices, type Drops } from '../models/index.js';
import type { Importance } from './importance.js';
import type { Constraints } from './select.js';

export interface WindowOptions extends Constraints {
  /**
   * Choose as LLM-Drop's code does, which reads the scores of windows one block longer than what it drops
   * (docs/formats.md, 'Differences from LLM-Drop'). @defaultValue false
   */
  readonly compat?: boolean;
}

/** The window of `count` consecutive blocks whose ends are most alike (Gromov et al., 2024); of equals, the first. */
export function selectWindow(
  importance: Importance,
  count: number,
  { keep = [], compat = false }: WindowOptions = {},
): Drops {
  const scores = importance.blockConsecutive;
  const layers = scores.length;
  if (layers === 0) throw new UserError('these scores hold no windows of blocks');
  const kept = checkedIndices(keep, layers, '`keep`');
  const column = compat ? count : count - 1;
  if (!Number.isInteger(count) || count < 1 || column >= layers)
    throw new UserError(
      `cannot drop a window of ${count} blocks: the model has ${layers}${compat ? ', and LLM-Drop scores windows one block longer' : ''}`,
    );
  let best: { start: number; score: number } | undefined;
  for (let start = 0; start + count <= layers; start++) {
    const score = scores[start][column];
    if (score === null || kept.some((i) => i >= start && i < start + count)) continue;
    if (!best || score > best.score) best = { start, score };
  }
  if (!best) throw new UserError(`no window of ${count} consecutive blocks is free of the layers to keep`);
  const { start } = best;
  const window = Array.from({ length: count }, (_, i) => start + i);
  return { attention: window, mlp: window };
}
