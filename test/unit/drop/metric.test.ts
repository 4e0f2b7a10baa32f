import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { angular, cosine, metrics, relativeNorm, type Metric } from '../../../src/drop/index.js';

const dot = (a: readonly number[], b: readonly number[]): number => a.reduce((sum, x, i) => sum + x * b[i], 0);
const of = (metric: Metric, a: readonly number[], b: readonly number[]): number =>
  metric.similarity(dot(a, b), dot(a, a), dot(b, b));
const scaled = (a: readonly number[], by: number): number[] => a.map((x) => by * x);

/** Two vectors of which neither is near zero. */
const pairs = fc
  .integer({ min: 1, max: 6 })
  .chain((size) => {
    const vector = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: size, maxLength: size });
    return fc.tuple(vector, vector);
  })
  .filter(([a, b]) => dot(a, a) > 0 && dot(b, b) > 0);

/** The angle of a cosine that is rounded to below 1 is up to sqrt(2 * 2^-52): 1e-8 half turns. */
const digits = 7;

describe('by every metric', () => {
  it.each(metrics)('$name: what changes nothing is the most redundant', (metric) => {
    fc.assert(
      fc.property(pairs, ([a, b]) => {
        expect(of(metric, a, a)).toBeCloseTo(metric === relativeNorm ? 0 : 1, digits);
        expect(of(metric, a, b)).toBeLessThanOrEqual(of(metric, a, a) + 1e-7);
      }),
    );
  });

  it.each(metrics)('$name: of both vectors scaled alike it is the same', (metric) => {
    fc.assert(
      fc.property(pairs, fc.constantFrom(2, 1024, 2 ** -10), ([a, b], by) => {
        expect(of(metric, scaled(a, by), scaled(b, by))).toBeCloseTo(of(metric, a, b), 12);
      }),
    );
  });

  it.each(metrics)('$name: of vectors of zeros it is finite', (metric) => {
    for (const [a, b] of [
      [0, 0],
      [0, 3],
      [3, 0],
    ])
      expect(Number.isFinite(of(metric, [a], [b]))).toBe(true);
  });
});

it('cosine and angular see directions alone, and rank alike', () => {
  fc.assert(
    fc.property(pairs, pairs, ([a, b], [c, d]) => {
      for (const metric of [cosine, angular]) {
        expect(of(metric, a, scaled(b, 3))).toBeCloseTo(of(metric, a, b), digits);
        expect(of(metric, b, a)).toBeCloseTo(of(metric, a, b), digits);
      }
      const apart = of(cosine, a, b) - of(cosine, c, d);
      if (Math.abs(apart) > 1e-12) expect(Math.sign(of(angular, a, b) - of(angular, c, d))).toBe(Math.sign(apart));
    }),
  );
});

describe('by hand', () => {
  it('cosine', () => {
    expect(of(cosine, [3, 4], [4, 3])).toBeCloseTo(24 / 25, 12);
    expect(of(cosine, [1, 0], [-2, 0])).toBe(-1);
  });

  it('angular is one less the angle in half turns', () => {
    expect(of(angular, [1, 0], [0, 5])).toBeCloseTo(0.5, 12);
    expect(of(angular, [1, 0], [1, 1])).toBeCloseTo(0.75, 12);
    expect(of(angular, [1, 0], [-1, 0])).toBe(0);
    // Products whose rounding makes a cosine larger than 1.
    expect(angular.similarity(1 + 1e-15, 1, 1)).toBe(1);
  });

  it('relative norm is the size of the update', () => {
    expect(of(relativeNorm, [3, 4], [3, 0])).toBeCloseTo(-0.8, 12);
    expect(of(relativeNorm, [3, 4], [9, 12])).toBeCloseTo(-2, 12);
    // Products whose rounding makes a square negative.
    expect(relativeNorm.similarity(1 + 1e-15, 1, 1)).toBeCloseTo(0, 12);
  });
});
