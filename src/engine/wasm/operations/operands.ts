/** The two sides of a product with a weight, be it floats or integers. */
import type { PackedWeight } from '../../backend.js';
import { int4Stripe, type Int4Panels } from '../layouts/int4/int4Panels.js';
import { int8Stripe } from '../layouts/int8/int8Panels.js';
import { panelRows, type Panels } from '../layouts/panels.js';
import type { Machine } from '../runtime/machine.js';
import type { Frame } from '../runtime/memory.js';
import { Int4Storage } from './int4/packInt4.js';
import { Int8Storage } from './int8/packInt8.js';
import { isInt8Right, type IntegerPanels } from './integerProduct.js';
import { packLeft, type Matrix } from './packRows.js';
import { panelsOf } from './packWeight.js';
import { quantizeRows, type QuantizedRows, type RowForm } from './quantizedRows.js';

/** Activations, laid out once for each kind of weight that they meet; a pending norm or activation runs at the first packing. */
export class Left {
  readonly rows: number;
  #matrix: Matrix;
  #floats: number | undefined;
  readonly #quantized = new Map<string, QuantizedRows>();

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
  quantized(form: RowForm): QuantizedRows {
    const key = `${form.kernels.name} ${form.groupSize}`;
    let found = this.#quantized.get(key);
    if (!found) {
      found = quantizeRows(this.machine, this.frame, this.#unmade(), form);
      this.#quantized.set(key, found);
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

export type Right = Panels | IntegerPanels;

export const isInt4Right = (right: Right): right is Int4Panels => 'group' in right;

export const isIntegerRight = (right: Right): right is IntegerPanels => isInt4Right(right) || isInt8Right(right);

/** Matrix `index` of a weight: the weight itself, or one of its experts. */
export const rightOf = (weight: PackedWeight, index = 0): Right =>
  weight.storage instanceof Int4Storage || weight.storage instanceof Int8Storage
    ? weight.storage.matrices[index]
    : panelsOf(weight, index);

/** Rows [first, first + rows) of a weight; `first` is a multiple of 16. */
export function stripeOf(right: Right, first: number, rows: number): Right {
  if (isInt4Right(right)) return int4Stripe(right, first, rows);
  if (isInt8Right(right)) return int8Stripe(right, first, rows);
  return { ...right, address: right.address + (first / panelRows) * right.stride, rows };
}
