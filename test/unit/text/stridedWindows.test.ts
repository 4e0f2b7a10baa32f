/** Windows that overlap: each token counts once, as in the example of transformers for models of fixed length. */
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { stridedWindows } from '../../../src/text/index.js';

const text = (length: number): Int32Array[] => [Int32Array.from({ length }, (_, i) => i)];

it('moves by the stride, and the last window is shorter', () => {
  const { rows, counted } = stridedWindows(text(11), 6, 2);
  expect(rows.map((row) => [row[0], row.length])).toEqual([
    [0, 6],
    [2, 6],
    [4, 6],
    [6, 5],
  ]);
  expect(counted).toEqual([5, 2, 2, 1]);
});

it('counts every token but the first once', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 60 }),
      fc.integer({ min: 2, max: 20 }),
      fc.integer({ min: 1, max: 20 }),
      (tokens, length, wanted) => {
        const stride = Math.min(wanted, length - 1);
        const { rows, counted } = stridedWindows(text(tokens), length, stride);
        const seen = rows.flatMap((row, i) => [...row.slice(row.length - counted[i])]);
        expect(seen).toEqual(Array.from({ length: tokens - 1 }, (_, i) => i + 1));
        // A token that counts has one before it in its window.
        expect(rows.every((row, i) => counted[i] < row.length)).toBe(true);
      },
    ),
  );
});

it('by the whole length gives rows from their own start', () => {
  const { rows, counted } = stridedWindows(text(13), 6, 6);
  expect(rows.map((row) => row[0])).toEqual([0, 6]);
  expect(counted).toEqual([5, 5]);
});

it('refuses a stride that leaves tokens out', () => {
  expect(() => stridedWindows(text(9), 4, 5)).toThrow('`stride` must be at most the 4 tokens of a row, found 5');
});
