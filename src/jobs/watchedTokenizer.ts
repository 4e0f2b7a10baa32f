import type { Progress } from '../progress/index.js';
import type { CalibrationTokenizer } from '../text/index.js';

/** A tokenizer that reports its progress. */
export interface Watched {
  readonly tokenizer: CalibrationTokenizer;
  /** Tells that what there was is done, where it was not known how much that is. */
  finish(): void;
}

/** Reports tokens of those needed; of an unknown number where `needed` is not said. */
export function watched(tokenizer: CalibrationTokenizer, needed: number | undefined, progress: Progress): Watched {
  let tokens = 0;
  return {
    tokenizer: {
      ...tokenizer,
      encode: (document, o) => {
        const ids = tokenizer.encode(document, o);
        tokens += ids.length;
        progress(Math.min(tokens, needed ?? tokens), needed ?? 0, 'tokens');
        return ids;
      },
    },
    finish: () => progress(tokens, tokens, 'tokens'),
  };
}
