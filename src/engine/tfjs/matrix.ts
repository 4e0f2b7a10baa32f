import type { Tensor } from './load.js';

/** A weight of [rows, columns], or one expert's. */
export interface Matrix {
  readonly rows: number;
  /** In the device's memory. */
  readonly bytes: number;
  readonly tensors: readonly Tensor[];
  /** x [T, columns] -> x W^T [T, rows] */
  product(x: Tensor): Tensor;
  /** -> [N, columns] float32 */
  rowsAt(indices: Int32Array): Tensor;
}

/** Rows [first, end) of a weight's source. */
export interface Rows {
  readonly first: number;
  readonly end: number;
}

/** Weights of a file read at a time. */
const weightsAtATime = 2 ** 22;

/** Rows of `width` weights, so many at a time as are read at once. */
export function* rowPieces({ first, end }: Rows, width: number): Generator<Rows> {
  const step = Math.max(1, Math.floor(weightsAtATime / width));
  for (let start = first; start < end; start += step) yield { first: start, end: Math.min(end, start + step) };
}
