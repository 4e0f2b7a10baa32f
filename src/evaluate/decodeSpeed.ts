import { generate, type Model } from '../models/index.js';

/** Tokens a second of greedy decoding after the prompt: the fastest of `repeats` runs, the prompt's own time left out. */
export async function decodeSpeed(
  model: Model,
  prompt: ArrayLike<number>,
  { tokens = 32, repeats = 3 }: { tokens?: number; repeats?: number } = {},
): Promise<number> {
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
