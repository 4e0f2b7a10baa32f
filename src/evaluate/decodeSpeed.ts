import { checkOptions, whole } from '../engine/index.js';
import { host } from '../engine/hosts/index.js';
import { generate, type Drops, type Model } from '../models/index.js';
import type { Progress } from '../progress/index.js';

/** Tokens a second of greedy decoding after the prompt: the fastest of `repeats` runs, the prompt's own time left out. */
export async function decodeSpeed(
  model: Model,
  prompt: ArrayLike<number>,
  options: { tokens?: number; repeats?: number } = {},
): Promise<number> {
  checkOptions(options, { tokens: whole(1), repeats: whole(1) });
  const { tokens = 32, repeats = 3 } = options;
  let best = 0;
  for (let run = 0; run < repeats; run++) {
    let first = 0;
    let last = 0;
    let count = 0;
    await generate(model, prompt, {
      maxTokens: tokens,
      stopTokens: [],
      onToken: () => {
        last = performance.now();
        if (count++ === 0) first = last;
      },
    });
    if (last > first) best = Math.max(best, ((count - 1) * 1000) / (last - first));
  }
  return best;
}

export interface CompareSpeedsOptions {
  /** Tokens decoded in a run. @defaultValue 16 */
  readonly tokens?: number;
  /** Runs of each. @defaultValue 5 */
  readonly rounds?: number;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Tokens a second under each of several drops, the fastest of some rounds. A round runs all, one after the other, so
 * that a busy moment of the machine strikes all alike; one before them warms up. The skip flags are restored.
 */
export async function compareDecodeSpeeds(
  model: Model,
  drops: readonly Drops[],
  prompt: ArrayLike<number>,
  options: CompareSpeedsOptions = {},
): Promise<number[]> {
  checkOptions(options, { tokens: whole(1), rounds: whole(1) });
  const { tokens = 16, rounds = 5, onProgress, signal } = options;
  const now = model.drops;
  const best = drops.map(() => 0);
  try {
    for (let round = 0; round <= rounds; round++)
      for (const [i, drop] of drops.entries()) {
        signal?.throwIfAborted();
        model.setDrops(drop);
        const rate = await decodeSpeed(model, prompt, { tokens, repeats: 1 });
        if (round > 0) best[i] = Math.max(best[i], rate);
        onProgress?.(round * drops.length + i + 1, (rounds + 1) * drops.length, 'runs');
        await host.nextTurn(); // lets signals and progress have their turn
      }
    return best;
  } finally {
    model.setDrops(now);
  }
}
