/** General operations. Reductions are over the middle axis of [outer, size, inner]. */
import { broadcastOf } from '../broadcast.js';
import { interpret, mentions, type Expression } from '../expression.js';
import { algebra } from './algebra.js';
import type { Tensor, Tf } from './load.js';

/** The expression of each element of x, and of the element of y that belongs to it. */
export function map(tf: Tf, x: Tensor, expression: Expression, y: Tensor | undefined): Tensor {
  const { rows, width, rowStride, columnStride } = broadcastOf(x.shape, y?.shape)!;
  const second = y && tf.reshape(y, [rowStride ? rows : 1, columnStride ? width : 1]);
  const result = interpret(expression, algebra(tf), tf.reshape(x, [rows, width]), second);
  return tf.reshape(mentions(expression, 'x') ? result : tf.broadcastTo(result, [rows, width]), x.shape);
}

export function softmax(tf: Tf, x: Tensor): Tensor {
  const powers = tf.exp(tf.sub(x, tf.max(x, 1, true)));
  return tf.div(powers, tf.sum(powers, 1, true));
}

/** [rows, size] float32: 1 in the column that a row's index [rows, 1] (int32) names, 0 elsewhere. */
export const marked = (tf: Tf, index: Tensor, size: number): Tensor =>
  tf.cast(tf.equal(index, tf.range(0, size, 1, 'int32')), 'float32');

/** Index of the largest along an axis, the first of equals. A backend's own argMax may take any of them. */
export function firstLargest(tf: Tf, x: Tensor, axis: number): Tensor {
  const size = x.shape[axis];
  const along = x.shape.map((_, i) => (i === axis ? size : 1));
  const index = tf.reshape(tf.range(0, size), along);
  const largest = tf.equal(x, tf.max(x, axis, true));
  const skipped = tf.mul(tf.sub(1, tf.cast(largest, 'float32')), size);
  return tf.cast(tf.min(tf.add(index, skipped), axis), 'int32');
}
