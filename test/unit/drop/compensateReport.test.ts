import { describe, expect, it } from 'vitest';
import { compensationLoss } from '../../../src/drop/index.js';
import type { LossResult } from '../../../src/evaluate/index.js';

/** Rows of as many predictions each. */
const lossOf = (...rowLosses: number[]): LossResult => {
  const loss = rowLosses.reduce((a, b) => a + b, 0) / rowLosses.length;
  return { loss, perplexity: Math.exp(loss), tokens: 10 * rowLosses.length, rowLosses };
};

describe('what came back', () => {
  it('is a share of what the drop cost', () => {
    const found = compensationLoss('text', lossOf(2, 3), lossOf(4, 5), lossOf(3, 5));
    expect(found).toEqual({
      name: 'text',
      rows: 2,
      whole: 2.5,
      dropped: 4.5,
      refit: 4,
      difference: -0.5,
      standardError: 0.5,
      recovered: 0.25,
    });
  });

  it('is less than nothing where a refit is worse, and unknown where the drop cost nothing', () => {
    expect(compensationLoss('text', lossOf(2), lossOf(4), lossOf(5)).recovered).toBe(-0.5);
    expect(compensationLoss('text', lossOf(2), lossOf(2), lossOf(1)).recovered).toBeNull();
    expect(compensationLoss('text', lossOf(2), lossOf(1), lossOf(1)).recovered).toBeNull();
  });
});
