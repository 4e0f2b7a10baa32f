import { int, text } from './options.js';

/** The text's options that every command with a text has. */
export const fieldOption = text("the text's field in .jsonl files (default: text)", 'name');

export const calibrationOptions = {
  samples: int('rows to calibrate on', 1, 256),
  length: int('tokens a row, at most the context of the model', 2, 2048),
  field: fieldOption,
};
