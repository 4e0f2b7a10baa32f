import { mathematics, wgslOf } from '../compiler/algebra.js';
import { elementwise } from '../compiler/kernel.js';
import { mentions, textOf, type Expression } from '../../expression.js';
import { once } from './once.js';

/** z = expression(x, y): element (row, column) of x meets element row * rowStride + column * columnStride of y. */
export const mapKernel = once(textOf, (expression: Expression) =>
  elementwise(
    `map ${textOf(expression)}`,
    {
      reads: { x: 'f32', y: 'f32' },
      writes: { z: 'f32' },
      numbers: { width: 'u32', rowStride: 'u32', columnStride: 'u32' },
      pieces: [mathematics],
    },
    `z[i] = ${wgslOf(expression, 'x[i]', mentions(expression, 'y') ? 'y[i / width * rowStride + i % width * columnStride]' : '')};`,
  ),
);
