import { compensationModes } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { number, type Option } from './options.js';

export const alphaOption: Option<number | undefined> = number(
  'how much a refit is held back, as a multiple of the mean of diag(Z’Z) (default: 1)',
);

export const modeWords = 'refit the output projection right before each drop, or all from there on';
export { compensationModes };

/** Fails before the work where weights would be held in 4 bits. */
export function refuseInt4({ int4 }: { readonly int4: boolean }): void {
  if (int4)
    throw new UserError('a refit needs the weights as they are stored, so --int4 does not go with it', {
      hint: 'compensate first, and run the result with --int4',
    });
}
