import { kernel, kernelModule } from '../compiler/kernel.js';
import { constant } from '../compiler/language.js';
import { each, sum } from '../compiler/loops.js';

export const rmsNorm = kernelModule('rmsNorm', () => ({
  /** y[r] = x[r] * gain / sqrt(mean(x[r]^2) + epsilon), rows of `width` floats. */
  rmsNorm: kernel(
    { x: 'i32', gain: 'i32', y: 'i32', rows: 'i32', width: 'i32', epsilon: 'f32' },
    (k, { x, gain, y, rows, width, epsilon }) =>
      k.repeat(rows, () => {
        const squares = sum(k, width, [x], (at) => k.let(at.load()).squared());
        const scale = k.let(constant('f32', 1).over(squares.over(width.toFloat()).plus(epsilon).sqrt()));
        each(k, width, [x, gain, y], (from, by, to) => to.store(from.load().times(scale).times(by.load())));
        x.add(width.times(4));
        y.add(width.times(4));
      }),
  ),
}));
