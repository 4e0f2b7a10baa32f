import { compensationModes } from '../drop/index.js';
import { refuseRounding, type CommonValues } from './command.js';
import { choice, number } from './options.js';

/** How what stays is refit. They have no defaults here, so that `drop` can tell whether it is to refit at all. */
export const compensationOptions = {
  compensate: choice('refit the output projection right before each drop, or all from there on', compensationModes),
  alpha: number('how much a refit is held back, as a multiple of the mean of diag(Z’Z) (default: 1)'),
};

/** A refit needs the weights as they are stored. */
export const refuseRounded = (values: Pick<CommonValues, 'int4' | 'int8'>): void =>
  refuseRounding(
    values,
    'a refit needs the weights as they are stored',
    (flag) => `compensate first, and run the result with ${flag}`,
  );
