import { each, fold } from '../compiler/fold.js';
import { kernel } from '../compiler/kernel.js';

const lanes = 64;

/** y[r] = x[r] * gain / sqrt(mean(x[r]^2) + epsilon), a workgroup a row of `width` floats. */
export const rmsNorm = kernel(
  'rmsNorm',
  {
    reads: { x: 'f32', gain: 'f32' },
    writes: { y: 'f32' },
    numbers: { width: 'u32', epsilon: 'f32' },
    lanes,
    pieces: [fold('sum', 'total', 'f32', lanes)],
  },
  `
  let row = group * width;
  var squares = 0.0;
  ${each('width', lanes, (i) => `squares += x[row + ${i}] * x[row + ${i}];`)}
  let scale = 1.0 / sqrt(total(squares, lane) / f32(width) + epsilon);
  ${each('width', lanes, (i) => `y[row + ${i}] = x[row + ${i}] * scale * gain[${i}];`)}`,
);
