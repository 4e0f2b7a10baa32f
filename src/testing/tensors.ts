import fc from 'fast-check';
import { sizeOf, type Shape } from '../engine/index.js';

/** A shape and its float32 values, to hand to `engine.tensor(values, shape)`. */
export interface TensorData {
  readonly shape: Shape;
  readonly values: Float32Array;
}

/** Shapes of `rank` axes, each from 1 to the given most (one number for all axes). */
export function tensorShapes(rank: number, most: number | readonly number[] = 9): fc.Arbitrary<number[]> {
  const limits = Array.from({ length: rank }, (_, axis) => (typeof most === 'number' ? most : most[axis]));
  return fc.tuple(...limits.map((max) => fc.integer({ min: 1, max })));
}

/** Finite values of at most `magnitude`, without subnormals. */
export function tensorData(shape: Shape | fc.Arbitrary<number[]>, magnitude = 8): fc.Arbitrary<TensorData> {
  const shapes = shape instanceof fc.Arbitrary ? shape : fc.constant([...shape]);
  const value = fc.integer({ min: -(2 ** 20), max: 2 ** 20 }).map((n) => Math.fround((n / 2 ** 20) * magnitude));
  return shapes.chain((sizes) =>
    fc
      .array(value, { minLength: sizeOf(sizes), maxLength: sizeOf(sizes) })
      .map((values) => ({ shape: sizes, values: Float32Array.from(values) })),
  );
}
