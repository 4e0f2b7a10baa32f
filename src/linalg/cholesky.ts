import { subtractProduct, transposed, viewOf } from './subtractProduct.js';

/** A pivot that is not positive: the matrix has no Cholesky factor in float64. */
export class NotPositiveDefinite extends Error {
  constructor(
    /** The row at which it showed, from 0. */
    readonly pivot: number,
    readonly value: number,
  ) {
    super(`the matrix is not positive definite: pivot ${pivot} is ${value}`);
    this.name = 'NotPositiveDefinite';
  }
}

/** Columns factored at a time; the part of all columns to their left is subtracted as one matrix product. */
const panel = 64;

/**
 * The lower factor L of a symmetric positive definite A = L L^T, [n, n] row-major, zeros above the diagonal. Only the
 * lower half of `a` is read; `into` may be `a` itself. n^3 / 3 operations.
 */
export function cholesky(a: Float64Array, n: number, into = new Float64Array(n * n)): Float64Array {
  const l = into;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) l[i * n + j] = j <= i ? a[i * n + j] : 0;
  for (let first = 0; first < n; first += panel) {
    const last = Math.min(n, first + panel);
    // Subtracts the part of the columns to the left from this panel's columns, in the rows from `first` on. That also
    // fills the upper half of the square at the panel's top, which is cleared below.
    const left = transposed(viewOf(l, n, first));
    subtractProduct(viewOf(l, n, first, first), viewOf(l, n, first), left, n - first, last - first, first);
    for (let i = first; i < n; i++) {
      for (let j = first; j < Math.min(i, last); j++)
        l[i * n + j] = (l[i * n + j] - dot(l, i * n + first, j * n + first, j - first)) / l[j * n + j];
      if (i >= last) continue;
      const pivot = l[i * n + i] - dot(l, i * n + first, i * n + first, i - first);
      if (!(pivot > 0 && pivot < Infinity)) throw new NotPositiveDefinite(i, pivot);
      l[i * n + i] = Math.sqrt(pivot);
      l.fill(0, i * n + i + 1, i * n + last);
    }
  }
  return l;
}

/** Solves L L^T X = B in place, B [n, columns] row-major. */
export function choleskySolve(l: Float64Array, n: number, b: Float64Array, columns: number): void {
  solveLower(l, n, b, columns);
  // L^T X = B, from the last panel up.
  for (let last = n; last > 0; last = Math.floor((last - 1) / panel) * panel) {
    const first = Math.floor((last - 1) / panel) * panel;
    const below = transposed(viewOf(l, n, last, first));
    subtractProduct(viewOf(b, columns, first), below, viewOf(b, columns, last), last - first, columns, n - last);
    for (let i = last - 1; i >= first; i--) {
      for (let k = i + 1; k < last; k++) subtractScaled(b, i * columns, l[k * n + i], b, k * columns, columns);
      scaleRow(b, i * columns, 1 / l[i * n + i], columns);
    }
  }
}

/** Solves L X = B in place, B [n, columns] row-major. */
export function solveLower(l: Float64Array, n: number, b: Float64Array, columns: number): void {
  for (let first = 0; first < n; first += panel) {
    const last = Math.min(n, first + panel);
    subtractProduct(viewOf(b, columns, first), viewOf(l, n, first), viewOf(b, columns), last - first, columns, first);
    for (let i = first; i < last; i++) {
      for (let k = first; k < i; k++) subtractScaled(b, i * columns, l[i * n + k], b, k * columns, columns);
      scaleRow(b, i * columns, 1 / l[i * n + i], columns);
    }
  }
}

/** L^-1, lower, [n, n] row-major; n^3 / 3 operations. `into` may not be `l`. */
export function invertLower(l: Float64Array, n: number, into = new Float64Array(n * n)): Float64Array {
  const x = into.fill(0);
  for (let first = 0; first < n; first += panel) {
    const last = Math.min(n, first + panel);
    // X[i, j] = (i == j - sum over k from j to i - 1 of L[i, k] X[k, j]) / L[i, i]; what lies left of the panel's own
    // square goes column panel by column panel, since X[k, j] is zero for k < j.
    for (let column = 0; column < first; column += panel)
      subtractProduct(
        viewOf(x, n, first, column),
        viewOf(l, n, first, column),
        viewOf(x, n, column, column),
        last - first,
        panel,
        first - column,
      );
    for (let i = first; i < last; i++) {
      x[i * n + i] += 1;
      for (let k = first; k < i; k++) subtractScaled(x, i * n, l[i * n + k], x, k * n, k + 1);
      scaleRow(x, i * n, 1 / l[i * n + i], i + 1);
    }
  }
  return x;
}

/** A^-1 = L^-T L^-1 from A's lower factor, [n, n] row-major, both halves filled. */
export function choleskyInverse(l: Float64Array, n: number): Float64Array {
  const inverse = invertLower(l, n);
  const a = new Float64Array(n * n);
  // Rows of L^-1 above the panel are zero in its columns, so that the sum begins at it.
  for (let first = 0; first < n; first += panel) {
    const rows = Math.min(panel, n - first);
    const upper = transposed(viewOf(inverse, n, first, first));
    subtractProduct(viewOf(a, n, first), upper, viewOf(inverse, n, first), rows, Math.min(n, first + rows), n - first);
  }
  for (let i = 0; i < n; i++) for (let j = 0; j <= i; j++) a[i * n + j] = a[j * n + i] = -a[i * n + j];
  return a;
}

export interface Damped {
  readonly factor: Float64Array;
  /** What was added to the diagonal, as a multiple of its mean. */
  readonly damping: number;
}

/** The most damping that is tried: a matrix that still has no factor then is not a sum of squares. */
const mostDamping = 1;

/**
 * The lower factor of A + damping * mean(diag A) I. While float64 finds none, damping doubles, or grows by 0.01 if that
 * is more.
 */
export function dampedCholesky(a: Float64Array, n: number, damping: number): Damped {
  const mean = diagonalMean(a, n);
  const factor = new Float64Array(n * n);
  for (let tried = damping; ; tried += Math.max(tried, 0.01)) {
    try {
      return { factor: cholesky(withDiagonal(a, n, tried * mean, factor), n, factor), damping: tried };
    } catch (error) {
      if (!(error instanceof NotPositiveDefinite) || tried > mostDamping || !(mean > 0 && mean < Infinity)) throw error;
    }
  }
}

export function diagonalMean(a: Float64Array, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[i * n + i];
  return sum / n;
}

function withDiagonal(a: Float64Array, n: number, added: number, into: Float64Array): Float64Array {
  into.set(a);
  for (let i = 0; i < n; i++) into[i * n + i] += added;
  return into;
}

function dot(a: Float64Array, i: number, j: number, length: number): number {
  let sum = 0;
  for (const end = i + length; i < end; i++, j++) sum += a[i] * a[j];
  return sum;
}

/** to[at..] -= factor * from[start..] */
function subtractScaled(
  to: Float64Array,
  at: number,
  factor: number,
  from: Float64Array,
  start: number,
  length: number,
): void {
  for (const end = at + length; at < end; at++, start++) to[at] -= factor * from[start];
}

function scaleRow(a: Float64Array, at: number, factor: number, length: number): void {
  for (const end = at + length; at < end; at++) a[at] *= factor;
}
