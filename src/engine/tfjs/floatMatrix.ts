import { decodeFloats } from '../halfFloat.js';
import { asFloats, type Packable } from '../packable.js';
import type { Tensor, Tf } from './load.js';
import { rowPieces, type Matrix, type Rows } from './matrix.js';
import { rowsAt } from './rows.js';

/** A matrix held as float32, which every backend of TensorFlow.js can. */
export class FloatMatrix implements Matrix {
  readonly rows: number;
  readonly bytes: number;
  readonly tensors: readonly [Tensor];

  constructor(
    private readonly tf: Tf,
    tensor: Tensor,
  ) {
    this.tensors = [tensor];
    this.rows = tensor.shape[0];
    this.bytes = 4 * tensor.size;
  }

  product(x: Tensor): Tensor {
    return this.tf.matMul(x, this.tensors[0], false, true);
  }

  rowsAt(indices: Int32Array): Tensor {
    return rowsAt(this.tf, this.tensors[0], indices);
  }
}

/** Rows of a weight, whatever its source holds. `current` is asked once they are read: others may have computed meanwhile. */
export async function packFloats(current: () => Tf, packable: Packable, rows: Rows): Promise<FloatMatrix> {
  const source = asFloats(packable);
  const width = source.shape.at(-1)!;
  const values = new Float32Array((rows.end - rows.first) * width);
  for (const { first, end } of rowPieces(rows, width)) {
    const bytes = await source.readRows(first, end);
    decodeFloats(bytes, source.dtype, values.subarray((first - rows.first) * width, (end - rows.first) * width));
  }
  const tf = current();
  return new FloatMatrix(tf, tf.keep(tf.tensor2d(values, [rows.end - rows.first, width], 'float32')));
}
