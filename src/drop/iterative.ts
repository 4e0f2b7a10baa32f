import { UserError } from '../engine/index.js';
import type { Drops, Model } from '../models/index.js';
import type { Importance } from './importance.js';
import { scoreImportance, type ScoreOptions } from './scoreImportance.js';
import { selectDrops, type Constraints, type Selector, type Target } from './select.js';
import { mergeDrops } from './writeDropped.js';

export interface IterativeOptions extends ScoreOptions, Constraints {
  readonly target: Target;
  /** Modules in all. */
  readonly count: number;
  /** Rounds of scoring; the modules are spread over them as evenly as they go. @defaultValue 1 */
  readonly iterations?: number;
  readonly selector?: Selector;
}

export interface IterativeResult {
  /** Everything that is dropped in the end, also what was dropped before. */
  readonly drops: Drops;
  /** What each round scored and dropped. */
  readonly rounds: readonly { readonly importance: Importance; readonly drops: Drops }[];
}

/**
 * Drops in rounds, each scored on the model as dropped so far, running what is left of a layer (LLM-Drop's loop skips
 * such a layer whole: docs/formats.md, 'Differences from LLM-Drop'). The model is left with the drops skipped.
 */
export async function dropIteratively(
  model: Model,
  rows: readonly Int32Array[],
  options: IterativeOptions,
): Promise<IterativeResult> {
  const { target, count, iterations = 1 } = options;
  if (!Number.isInteger(iterations) || iterations < 1 || iterations > Math.max(count, 1))
    throw new UserError(`${iterations} iterations cannot drop ${count} modules: choose 1 to ${count}`);
  const rounds: IterativeResult['rounds'][number][] = [];
  for (let round = 0; round < iterations; round++) {
    const share = Math.floor((count * (round + 1)) / iterations) - Math.floor((count * round) / iterations);
    const importance = await scoreImportance(model, rows, {
      ...options,
      onProgress: (done) => options.onProgress?.(round * rows.length + done, iterations * rows.length, 'rows'),
    });
    const drops = selectDrops(importance, target, share, options);
    model.setDrops(mergeDrops(model.drops, drops));
    rounds.push({ importance, drops });
  }
  return { drops: model.drops, rounds };
}
