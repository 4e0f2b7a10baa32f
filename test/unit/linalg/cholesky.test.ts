import { describe, expect, it } from 'vitest';
import * as fc from 'fast-check';
import {
  NotPositiveDefinite,
  cholesky,
  choleskyInverse,
  choleskySolve,
  dampedCholesky,
  diagonalMean,
  invertLower,
} from '../../../src/linalg/index.js';
import { normalNumbers } from '../../../src/models/index.js';

/** X^T X / rows + I / 10 of random X: condition about 100 at most, so that float64 loses 2 of its 16 digits. */
function positiveDefinite(n: number, seed: number): Float64Array {
  const rows = 2 * n;
  const x = normalNumbers(`${seed}`, rows * n);
  const a = new Float64Array(n * n);
  for (let r = 0; r < rows; r++)
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) a[i * n + j] += (x[r * n + i] * x[r * n + j]) / rows;
  for (let i = 0; i < n; i++) a[i * n + i] += 0.1;
  return a;
}

const product = (a: Float64Array, b: Float64Array, n: number, columns = n): Float64Array => {
  const c = new Float64Array(n * columns);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < n; k++)
      for (let j = 0; j < columns; j++) c[i * columns + j] += a[i * n + k] * b[k * columns + j];
  return c;
};

const transpose = (a: Float64Array, n: number): Float64Array => a.map((_, at) => a[(at % n) * n + Math.floor(at / n)]);

const largestDifference = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i])), 0);

const identity = (n: number): Float64Array => Float64Array.from({ length: n * n }, (_, at) => +(at % (n + 1) === 0));

/** Of one, two and three panels of 64, with tails. */
const sizes = fc.constantFrom(1, 2, 3, 5, 63, 64, 65, 130, 133);

describe('cholesky', () => {
  it('gives a lower factor whose square is the matrix', () =>
    fc.assert(
      fc.property(sizes, fc.nat(), (n, seed) => {
        const a = positiveDefinite(n, seed);
        const l = cholesky(a, n);
        for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) expect(l[i * n + j]).toBe(0);
        // 1e-13: n additions of numbers of size 1, each rounded to 1e-16.
        expect(largestDifference(product(l, transpose(l, n), n), a)).toBeLessThan(1e-13);
      }),
      { numRuns: 20 },
    ));

  it('reads the lower half only, and may write over what it reads', () => {
    const n = 70;
    const a = positiveDefinite(n, 1);
    const half = a.map((value, at) => (at % n > Math.floor(at / n) ? NaN : value));
    expect(cholesky(half, n)).toEqual(cholesky(a, n));
    expect(cholesky(half, n, half)).toEqual(cholesky(a, n));
  });

  it('solves, and inverts', () =>
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 70 }), fc.nat(), (n, columns, seed) => {
        const a = positiveDefinite(n, seed);
        const x = Float64Array.from(normalNumbers(`x ${seed}`, n * columns));
        const solved = product(a, x, n, columns);
        const l = cholesky(a, n);
        choleskySolve(l, n, solved, columns);
        // Of condition 100, so two digits fewer than above.
        expect(largestDifference(solved, x)).toBeLessThan(1e-11);
        expect(largestDifference(product(a, choleskyInverse(l, n), n), identity(n))).toBeLessThan(1e-11);
        expect(largestDifference(product(l, invertLower(l, n), n), identity(n))).toBeLessThan(1e-11);
      }),
      { numRuns: 20 },
    ));

  it('names the pivot at which a matrix is not positive definite', () => {
    const a = positiveDefinite(100, 3);
    a[80 * 100 + 80] = -1;
    expect(() => cholesky(a, 100)).toThrow(NotPositiveDefinite);
    expect(() => cholesky(a, 100)).toThrow('pivot 80');
    a[80 * 100 + 80] = NaN;
    expect(() => cholesky(a, 100)).toThrow('pivot 80 is NaN');
  });
});

describe('dampedCholesky', () => {
  it('adds a multiple of the mean of the diagonal', () => {
    const n = 5;
    const a = positiveDefinite(n, 4);
    const { factor, damping } = dampedCholesky(a, n, 0.01);
    const added = a.map((value, at) => value + (at % (n + 1) === 0 ? 0.01 * diagonalMean(a, n) : 0));
    expect(damping).toBe(0.01);
    expect(factor).toEqual(cholesky(added, n));
  });

  it('damps more where float64 finds no factor', () => {
    // Eigenvalues 2.02 and -0.02, mean of the diagonal 1: a damping of more than 0.02 is needed.
    const a = Float64Array.of(1, 1.02, 1.02, 1);
    expect(dampedCholesky(a, 2, 0.01).damping).toBeCloseTo(0.04, 12);
    expect(dampedCholesky(a, 2, 0).damping).toBeCloseTo(0.04, 12);
  });

  it('gives up on a matrix of zeros, and on what is not finite', () => {
    expect(() => dampedCholesky(new Float64Array(4), 2, 0.01)).toThrow(NotPositiveDefinite);
    expect(() => dampedCholesky(Float64Array.of(1, NaN, NaN, NaN), 2, 0.01)).toThrow(NotPositiveDefinite);
  });
});
