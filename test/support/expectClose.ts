import { expect } from 'vitest';

/** How far each element may be off: a bound for all, or one an element, derived from an error analysis. */
export type Tolerance = number | ((index: number) => number);

/** 2^-24: the relative error of one rounding to float32. */
export const unitRoundoff = 2 ** -24;

/**
 * Fails with the first five differences, the largest, and where. NaN equals NaN, an infinity itself. Differences up to the
 * smallest normal float32 never count.
 */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: Tolerance,
  what = 'result',
): void {
  expect(actual.length, `${what}: number of elements`).toBe(expected.length);
  const bound = typeof tolerance === 'number' ? () => tolerance : tolerance;
  const off: { index: number; by: number; over: number }[] = [];
  for (let index = 0; index < actual.length; index++) {
    if (Object.is(actual[index], expected[index]) || actual[index] === expected[index]) continue;
    const by = Math.abs(actual[index] - expected[index]);
    const allowed = bound(index) + 2 ** -126;
    if (!(by <= allowed)) off.push({ index, by, over: by / allowed });
  }
  if (off.length === 0) return;
  const show = ({ index, by, over }: (typeof off)[number]): string =>
    `  [${index}] ${actual[index]} instead of ${expected[index]}: off by ${by.toExponential(2)}, ${over.toPrecision(3)} times what is allowed`;
  const worst = off.reduce((most, one) => (one.over > most.over ? one : most));
  expect.fail(
    `${what}: ${off.length} of ${actual.length} elements differ\n${off.slice(0, 5).map(show).join('\n')}\nworst:\n${show(worst)}`,
  );
}
