/** The two sides of a product with a weight, be it floats or int4. */
import type { PackedWeight } from '../../backend.js';
import type { Int4Format } from '../../int4.js';
import { int4Stripe, type Int4Panels } from '../layouts/int4/int4Panels.js';
import { panelRows, type Panels } from '../layouts/panels.js';
import type { Machine } from '../runtime/machine.js';
import type { Frame } from '../runtime/memory.js';
import { quantizeRows, type QuantizedRows } from './int4/int4Product.js';
import { Int4Storage } from './int4/packInt4.js';
import { packLeft, type Matrix } from './packRows.js';
import { panelsOf } from './packWeight.js';

/** Activations, laid out once for each kind of weight that they meet; a pending norm or activation runs at the first packing. */
export class Left {
  readonly rows: number;
  #matrix: Matrix;
  #floats: number | undefined;
  readonly #quantized = new Map<number, QuantizedRows>();

  constructor(
    private readonly machine: Machine,
    private readonly frame: Frame,
    matrix: Matrix,
  ) {
    this.rows = matrix.rows;
    this.#matrix = matrix;
  }

  /** Address of its tiles of floats. */
  get floats(): number {
    return (this.#floats ??= packLeft(this.machine, this.frame, this.#unmade()));
  }

  /** The rows as integers with a scale for each group; the rows must be contiguous. */
  quantized(groupSize: Int4Format['groupSize']): QuantizedRows {
    let found = this.#quantized.get(groupSize);
    if (!found) {
      found = quantizeRows(this.machine, this.frame, this.#unmade(), groupSize);
      this.#quantized.set(groupSize, found);
    }
    return found;
  }

  /** The rows, with their pending computation; from then on without it. */
  #unmade(): Matrix {
    const matrix = this.#matrix;
    this.#matrix = { ...matrix, make: undefined };
    return matrix;
  }
}

export type Right = Panels | Int4Panels;

export const isInt4Right = (right: Right): right is Int4Panels => 'group' in right;

/** Matrix `index` of a weight: the weight itself, or one of its experts. */
export const rightOf = (weight: PackedWeight, index = 0): Right =>
  weight.storage instanceof Int4Storage ? weight.storage.matrices[index] : panelsOf(weight, index);

/** Rows [first, first + rows) of a weight; `first` is a multiple of 8. */
export const stripeOf = (right: Right, first: number, rows: number): Right =>
  isInt4Right(right)
    ? int4Stripe(right, first, rows)
    : { ...right, address: right.address + (first / panelRows) * right.stride, rows };
