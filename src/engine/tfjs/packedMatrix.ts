import type { Matrix } from './matrix.js';
import type { Tensor } from './load.js';
import type { TensorFlow } from './tensorflow.js';

/** Weights that are float32 at a time. */
const unpackedBudget = 2 ** 22;

/** Rows are cut at multiples of this, so that slices of all types lie aligned and need no copy. */
const aligned = 64;

/** A matrix held in fewer bits, whose rows become float32 on the device each time they are needed, some at a time. */
export class PackedMatrix implements Matrix {
  readonly rows: number;

  constructor(
    private readonly flow: TensorFlow,
    /** Each has the matrix's rows as its first axis. */
    readonly tensors: readonly Tensor[],
    readonly bytes: number,
    private readonly columns: number,
    /** The same rows of all tensors -> [rows, columns] float32 */
    private readonly unpack: (parts: readonly Tensor[]) => Tensor,
  ) {
    [this.rows] = tensors[0].shape;
  }

  product(x: Tensor): Tensor {
    const { flow, rows, tensors } = this;
    const { tf } = flow;
    const step = aligned * Math.max(1, Math.floor(unpackedBudget / (aligned * this.columns)));
    const products: Tensor[] = [];
    for (let first = 0; first < rows; first += step) {
      const count = Math.min(step, rows - first);
      const part = (tensor: Tensor): Tensor => (count === rows ? tensor : flow.slice(tensor, first, count));
      products.push(tf.tidy(() => tf.matMul(x, this.unpack(tensors.map(part)), false, true)));
    }
    return products.length === 1 ? products[0] : tf.concat(products, 1);
  }

  rowsAt(indices: Int32Array): Tensor {
    const at = this.flow.tf.tensor1d(indices.slice(), 'int32');
    return this.unpack(this.tensors.map((tensor) => this.flow.gather(tensor, at)));
  }
}
