import type { CalibrationTokenizer } from '../text/index.js';
import type { Progress } from '../progress/index.js';
import { int, text } from './options.js';

/** The text's options that every command with a text has. */
export const fieldOption = text("the text's field in .jsonl files (default: text)", 'name');

export const calibrationOptions = {
  samples: int('rows to calibrate on', 1, 256),
  length: int('tokens a row, at most the context of the model', 2, 2048),
  field: fieldOption,
};

/** A tokenizer that tells how many tokens of those needed it has made. */
export function watched(tokenizer: CalibrationTokenizer, needed: number, progress: Progress): CalibrationTokenizer {
  let tokens = 0;
  return {
    eosId: tokenizer.eosId,
    encode: (document, o) => {
      const ids = tokenizer.encode(document, o);
      progress(Math.min((tokens += ids.length), needed), needed, 'tokens');
      return ids;
    },
  };
}
