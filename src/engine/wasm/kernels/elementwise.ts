import { fusibleModule, kernel } from '../compiler/kernel.js';
import type { Float, Value } from '../compiler/language.js';
import { each } from '../compiler/loops.js';
import { exponential } from './exp.js';

export const elementwise = fusibleModule('elementwise', (fused) => ({
  /** y = a + b for `rows` rows of `width` floats, with the same b for each row; y may be a. */
  add: kernel({ a: 'i32', b: 'i32', y: 'i32', rows: 'i32', width: 'i32' }, (k, { a, b, y, rows, width }) =>
    k.repeat(rows, () => {
      each(k, width, [a, b, y], (left, right, to) => to.store(left.load().plus(right.load())));
      a.add(width.times(4));
      y.add(width.times(4));
    }),
  ),

  /** y = gate / (1 + e^-gate) * up, `count` floats; y may be either. */
  siluMultiply: kernel({ gate: 'i32', up: 'i32', y: 'i32', count: 'i32' }, (k, { gate, up, y, count }) => {
    const exp = exponential(k, fused);
    each(k, count, [gate, up, y], (g, u, to) => {
      const x = k.let(g.load());
      to.store(x.over(exp(x.negated()).plus(1)).times(u.load()));
    });
  }),

  /** y = y + x * weight, `count` floats. */
  addScaled: kernel({ x: 'i32', y: 'i32', weight: 'f32', count: 'i32' }, (k, { x, y, weight, count }) =>
    each(k, count, [x, y], (from, to) => to.store(to.load().plus(from.load().times(weight)))),
  ),

  /** int32 from float32, towards zero. */
  truncate: kernel({ x: 'i32', y: 'i32', count: 'i32' }, (k, { x, y, count }) =>
    each(k, count, [x, y], (from, to) => to.store(from.load().toInteger() as unknown as Float)),
  ),

  /** float32 from int32. */
  convert: kernel({ x: 'i32', y: 'i32', count: 'i32' }, (k, { x, y, count }) =>
    each(k, count, [x, y], (from, to) => to.store((from.load().bits() as unknown as Value<'i32'>).toFloat())),
  ),
}));
