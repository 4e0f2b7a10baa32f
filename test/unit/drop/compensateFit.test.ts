import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ProjectionFit, type FitResult } from '../../../src/drop/index.js';
import { createEngine, type Engine } from '../../../src/engine/index.js';

let engine: Engine;
beforeAll(async () => void (engine = await createEngine('reference')));
afterAll(() => {
  expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 });
  engine.dispose();
});

/** Fits W [out, in] to inputs z and residuals R, a token a line. */
async function fit(z: number[][], residual: number[][], weight: number[], alpha: number): Promise<FitResult> {
  using fitted = new ProjectionFit(engine, z[0].length, residual[0].length);
  for (const [t, line] of z.entries()) {
    using _scope = engine.scope();
    await fitted.add(engine.tensor(line, [1, line.length]), engine.tensor(residual[t], [1, residual[t].length]));
  }
  return await fitted.solve(Float32Array.from(weight), alpha, 'a.weight');
}

describe('one input, one output', () => {
  // Z'Z = 4, R'Z = 6, so D = 6 / (4 + 4 alpha).
  it.each([
    [0, 1.5, 0],
    [1, 0.75, 4],
    [3, 0.375, 12],
  ])('alpha %d adds %d', async (alpha, change, lambda) => {
    const made = await fit([[2]], [[3]], [10], alpha);
    expect(made).toEqual({
      weight: Float32Array.of(10 + change),
      lambda,
      errorBefore: 9,
      errorAfter: expect.closeTo((3 - 2 * change) ** 2, 12) as number, // a square root comes before
    });
  });
});

it('is [out, in]: each output has inputs of its own', async () => {
  const made = await fit(
    [
      [1, 0, 0],
      [0, 1, 0],
      [0, 0, 1],
    ],
    [
      [1, 4],
      [2, 5],
      [3, 6],
    ],
    [0, 0, 0, 0, 0, 0],
    0,
  );
  expect(Array.from(made.weight)).toEqual([1, 2, 3, 4, 5, 6]);
});

it('leaves W alone where nothing reaches it, and where nothing is lacking', async () => {
  expect(await fit([[0, 0]], [[1]], [5, 6], 1)).toMatchObject({ weight: Float32Array.of(5, 6), errorAfter: 1 });
  expect(await fit([[1, 2]], [[0]], [5, 6], 1)).toMatchObject({ weight: Float32Array.of(5, 6), errorAfter: 0 });
});

it('damps by itself where fewer tokens than inputs leave the sums singular', async () => {
  const { weight, lambda, errorAfter } = await fit([[1, 1]], [[2]], [0, 0], 0);
  expect(lambda).toBeGreaterThan(0);
  // The least of all solutions is 1, 1; damping by 0.01 of 1 takes about 0.5% off.
  for (const w of weight) expect(Math.abs(w - 1)).toBeLessThan(0.01);
  expect(errorAfter).toBeLessThan(1e-3);
});

it.each([
  ['inputs', [[Infinity, 1]], [[1]]],
  ['residuals', [[1, 1]], [[NaN]]],
])('%s that are not finite are refused by name', async (_, z, residual) => {
  await expect(fit(z, residual, [1, 1], 1)).rejects.toThrow(/^a\.weight: .* is not finite/);
});
