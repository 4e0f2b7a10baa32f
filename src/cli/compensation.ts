import { compensationModes } from '../drop/index.js';
import { UserError } from '../engine/index.js';
import { choice, number } from './options.js';

/** How what stays is refit. They have no defaults here, so that `drop` can tell whether it is to refit at all. */
export const compensationOptions = {
  compensate: choice('refit the output projection right before each drop, or all from there on', compensationModes),
  alpha: number('how much a refit is held back, as a multiple of the mean of diag(Z’Z) (default: 1)'),
};

/** Fails before the work where weights would be held in 4 bits. */
export function refuseInt4({ int4 }: { readonly int4: boolean }): void {
  if (int4)
    throw new UserError('a refit needs the weights as they are stored, so --int4 does not go with it', {
      hint: 'compensate first, and run the result with --int4',
    });
}
