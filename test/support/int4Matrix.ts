import fc from 'fast-check';
import { random } from './backends.js';

/**
 * Rows of numbers to either side or both, of any magnitude that a scale can hold, some of them zeros and some outliers
 * 16 times as large. They reach 2 ** exponent otherwise.
 */
export const int4Matrix = (exponent: number): fc.Arbitrary<{ width: number; values: Float32Array }> =>
  fc
    .record({
      seed: fc.integer({ min: 1, max: 2 ** 31 - 1 }),
      rows: fc.integer({ min: 1, max: 4 }),
      width: fc.integer({ min: 1, max: 300 }),
      side: fc.constantFrom(-1, 0, 1),
      exponent: fc.integer({ min: -140, max: exponent }),
    })
    .map(({ seed, rows, width, side, exponent }) => {
      const kind = random(seed + 1, [rows, width]);
      const values = random(seed, [rows, width], 2 ** exponent).map((value, i) => {
        const kept = side === 0 ? value : side * Math.abs(value);
        return kind[i] < -0.7 ? 0 : kind[i] > 0.95 ? 16 * kept : kept;
      });
      return { width, values };
    });
