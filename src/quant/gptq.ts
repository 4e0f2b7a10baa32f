/**
 * GPTQ (Frantar et al., 2022; docs/formats.md, 'GPTQ algorithm'): a weight [out, in] is rounded column by column, and
 * what rounding a column does to the outputs is made up for by the columns not yet rounded, as well as the inputs' Gram
 * matrix G allows.
 */
import {
  NotPositiveDefinite,
  dampedCholesky,
  diagonalMean,
  invertLower,
  subtractProduct,
  viewOf,
} from '../linalg/index.js';
import { UserError, checkOptions, flag, number, type Int4Rows } from '../engine/index.js';
import { fitGrid, groupOptions, nearest, packIntegers, type Grid, type GroupOptions } from './groupQuantizer.js';

/** What `damping` may be at least; 0 leaves G as it is where it can be factored. */
export const leastDamping = number('a number of at least 0', (damping) => damping >= 0 && damping < Infinity);

export interface GptqOptions extends GroupOptions {
  /** Added to the diagonal of G, as a multiple of its mean; grows where that is not enough. @defaultValue 0.01 */
  readonly damping?: number;
  /**
   * Columns of the largest inputs first. Groups and their scales are those of the weight as it was ("static groups"), so
   * that files need no order of columns. @defaultValue true
   */
  readonly actOrder?: boolean;
}

/**
 * Columns of a block: within it, errors are spread column by column; over the columns after it, as one matrix product.
 */
const blockSize = 128;

export interface GptqResult extends Int4Rows {
  /** The damping that it took. */
  readonly damping: number;
}

/** Rounds `weight` [out, in] for inputs of Gram matrix `gram` [in, in]; neither is changed. */
export function gptq(
  weight: Float32Array,
  width: number,
  gram: Float64Array,
  given: GptqOptions,
  name: string,
): GptqResult {
  checkOptions(given, { ...groupOptions, damping: leastDamping, actOrder: flag });
  const { damping = 0.01, actOrder = true, ...options } = given;
  const grid = fitGrid(weight, width, options, name);
  const order = columnOrder(gram, width, actOrder);
  const { inverse, damped } = inverseFactor(gram, order, damping, name);
  const integers = roundColumns(weight, width, grid, order, inverse);
  return { ...packIntegers(integers, width, grid), damping: damped };
}

/** Columns by descending diagonal of G, the first of equals first. */
function columnOrder(gram: Float64Array, n: number, actOrder: boolean): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  return actOrder ? order.sort((a, b) => gram[b * n + b] - gram[a * n + a] || a - b) : order;
}

/**
 * The inverse X of the lower Cholesky factor of G, damped, with its columns in reverse order. GPTQ is written with the
 * upper factor U of G^-1 = U^T U, which is X read backwards: U[i, j] = X[n - 1 - i, n - 1 - j]. That takes one
 * factorization and one triangular inverse instead of two and an inverse. An input that is always zero (zero on the
 * diagonal) gets the mean: its column is rounded to nearest, and changes no other.
 */
function inverseFactor(
  gram: Float64Array,
  order: Uint32Array,
  damping: number,
  name: string,
): { inverse: Float64Array; damped: number } {
  const n = order.length;
  const mean = diagonalMean(gram, n) || 1;
  const reversed = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    const from = order[n - 1 - i] * n;
    for (let j = 0; j < n; j++) reversed[i * n + j] = gram[from + order[n - 1 - j]];
    if (reversed[i * n + i] === 0) reversed[i * n + i] = mean;
  }
  try {
    const { factor, damping: damped } = dampedCholesky(reversed, n, damping);
    return { inverse: invertLower(factor, n, reversed), damped };
  } catch (error) {
    if (!(error instanceof NotPositiveDefinite)) throw error;
    throw new UserError(`the inputs of ${name} cannot be used to quantize it: ${error.message}`, {
      hint: 'is a value in the model or its activations not finite?',
      cause: error,
    });
  }
}

/** Integers [out, in], the columns in their own places. */
function roundColumns(
  weight: Float32Array,
  width: number,
  grid: Grid,
  order: Uint32Array,
  inverse: Float64Array,
): Uint8Array {
  const rows = weight.length / width;
  const last = width * width - 1;
  /** The columns in `order`. */
  const left = new Float64Array(weight.length);
  for (let row = 0; row < rows; row++)
    for (let i = 0; i < width; i++) left[row * width + i] = weight[row * width + order[i]];
  const integers = new Uint8Array(weight.length);
  const errors = new Float64Array(rows * blockSize);
  const within = new Float64Array(blockSize * blockSize);
  for (let first = 0; first < width; first += blockSize) {
    const size = Math.min(blockSize, width - first);
    for (let i = 0; i < size; i++)
      for (let j = i; j < size; j++) within[i * blockSize + j] = inverse[last - (first + i) * width - (first + j)];
    for (let row = 0; row < rows; row++)
      roundBlock(left, row * width + first, size, within, grid, row, order.subarray(first), integers, errors);
    const rest = first + size;
    const upper = { data: inverse, offset: last - first * width - rest, rowStride: -width, columnStride: -1 };
    subtractProduct(viewOf(left, width, 0, rest), viewOf(errors, blockSize), upper, rows, width - rest, size);
  }
  return integers;
}

/** One row of a block: each column is rounded, and its error spread over the block's columns after it. */
function roundBlock(
  left: Float64Array,
  at: number,
  size: number,
  upper: Float64Array,
  { format, groups, steps, zeros }: Grid,
  row: number,
  columns: Uint32Array,
  integers: Uint8Array,
  errors: Float64Array,
): void {
  const width = integers.length / (steps.length / groups);
  for (let i = 0; i < size; i++) {
    const group = row * groups + Math.floor(columns[i] / format.groupSize);
    const step = steps[group];
    const value = left[at + i];
    const q = nearest(value, step === 0 ? 0 : 1 / step, zeros[group]);
    integers[row * width + columns[i]] = q;
    const error = (value - step * (q - zeros[group])) / upper[i * blockSize + i];
    errors[row * blockSize + i] = error;
    for (let j = i + 1; j < size; j++) left[at + j] -= error * upper[i * blockSize + j];
  }
}
