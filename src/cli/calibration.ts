import { rowDefaults } from '../text/index.js';
import { files, flag, int, text } from './options.js';

/** What every command with a text has. */
export const textOptions = {
  length: int('tokens a row, at most the context of the model', 2, rowDefaults.length),
  field: text("the text's field in .jsonl files (default: text)", 'name'),
};

export const calibrationOptions = {
  samples: int('rows to calibrate on', 1, rowDefaults.samples),
  spread: flag('take them, and those of the same text to measure on, evenly from the whole text, not its first ones'),
  ...textOptions,
};

export const heldOutOption = int('rows to measure the loss on, of each text', 1, rowDefaults.heldOut);

/** The loss of a model that is made on some text. */
export const lossOptions = {
  text: files('texts to measure the loss on, each for itself (default: the calibration text, behind its rows)'),
  heldOut: heldOutOption,
};
