import type { Progress } from '../progress/index.js';
import type { CalibrationTokenizer } from '../text/index.js';

/** A tokenizer that reports its progress, in tokens of those needed. */
export function watched(tokenizer: CalibrationTokenizer, needed: number, progress: Progress): CalibrationTokenizer {
  let tokens = 0;
  return {
    ...tokenizer,
    encode: (document, o) => {
      const ids = tokenizer.encode(document, o);
      progress(Math.min((tokens += ids.length), needed), needed, 'tokens');
      return ids;
    },
  };
}
