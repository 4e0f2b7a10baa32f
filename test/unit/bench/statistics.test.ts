import { describe, expect, it } from 'vitest';
import { median, statistics } from '../../../src/bench/index.js';

describe('statistics', () => {
  it('has the middle sample as median, the mean of two where there is no middle', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
  });

  it('has the sample deviation, over n - 1', () => {
    const samples = [2, 4, 4, 4, 5, 5, 7, 9];
    const { mean, deviation } = statistics(samples);
    expect(mean).toBe(5);
    expect(deviation).toBeCloseTo(Math.sqrt(32 / 7), 12);
  });

  it('keeps the samples in their order, and calls one sample exact', () => {
    expect(statistics([3, 1, 2]).samples).toEqual([3, 1, 2]);
    expect(statistics([7])).toEqual({ median: 7, mean: 7, deviation: 0, samples: [7] });
  });
});
