import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { cosine, metrics, type Metric } from '../../../src/drop/index.js';
import { MetricSums } from '../../../src/drop/metricSums.js';
import { createEngine, type Engine } from '../../../src/engine/index.js';
import { tensorData, type TensorData } from '../../../src/testing/index.js';

let engine: Engine;
beforeAll(async () => void (engine = await createEngine('reference')));
afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
afterAll(() => engine.dispose());

/** What one call adds: rows of a and b, both [T, D], to an element. */
interface Added {
  readonly a: TensorData;
  readonly b: TensorData;
  readonly index: number;
}

const length = 3;
const added: fc.Arbitrary<Added> = fc
  .tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 5 }))
  .chain((shape) => fc.record({ a: tensorData(shape), b: tensorData(shape), index: fc.nat({ max: length - 1 }) }));
/** By row of tokens. */
const rows = fc.array(fc.array(added, { maxLength: 4 }), { maxLength: 4 });

async function addRow(sums: MetricSums, row: readonly Added[]): Promise<void> {
  // What is added may be freed before the row ends.
  using _scope = engine.scope();
  for (const { a, b, index } of row)
    sums.add(engine.tensor(a.values, a.shape), engine.tensor(b.values, b.shape), index);
}

async function sumsOf(metric: Metric, all: readonly Added[][], from?: ArrayLike<number>): Promise<number[]> {
  using sums = new MetricSums(engine, metric, length, from);
  for (const row of all) {
    await addRow(sums, row);
    await sums.endRow();
  }
  return Array.from(sums.sums);
}

it.each(metrics)('$name: each element has the sum over its tokens', async (metric) => {
  await fc.assert(
    fc.asyncProperty(rows, async (all) => {
      const expected = new Float64Array(length);
      for (const { a, b, index } of all.flat()) {
        const [tokens, width] = a.shape;
        for (let t = 0; t < tokens; t++) {
          const [x, y] = [a, b].map(({ values }) => values.subarray(t * width, (t + 1) * width));
          const dot = (u: Float32Array, v: Float32Array): number => u.reduce((sum, value, i) => sum + value * v[i], 0);
          expected[index] += metric.similarity(dot(x, y), dot(x, x), dot(y, y));
        }
      }
      const found = await sumsOf(metric, all);
      // Products of at most 5 numbers, which the device rounds to float32, are off by 3e-7 of themselves; where those of
      // vectors nearly alike cancel, angles and differences by the root of it.
      const off = metric === cosine ? 1e-6 : 1e-3;
      const tokens = all.flat().reduce((sum, { a }) => sum + a.shape[0], 0);
      found.forEach((sum, i) =>
        expect(Math.abs(sum - expected[i])).toBeLessThanOrEqual(off * (tokens + Math.abs(sum))),
      );
    }),
  );
});

it.each(metrics)('$name: a run that goes on where another ended has its sums, to the last bit', async (metric) => {
  await fc.assert(
    fc.asyncProperty(rows, fc.nat(), async (all, n) => {
      const cut = n % (all.length + 1);
      const first = await sumsOf(metric, all.slice(0, cut));
      expect(await sumsOf(metric, all.slice(cut), first)).toEqual(await sumsOf(metric, all));
    }),
    { numRuns: 30 },
  );
});

it.each(metrics)('$name: a row that was broken off counts for nothing, and leaves nothing behind', async (metric) => {
  const data = { shape: [1, 2], values: Float32Array.of(1, 2) };
  const from = [1, 2, 3];
  using sums = new MetricSums(engine, metric, length, from);
  await addRow(sums, [{ a: data, b: data, index: 0 }]);
  expect(engine.memory().tensors).toBeGreaterThan(0);
  sums[Symbol.dispose]();
  expect([Array.from(sums.sums), engine.memory().tensors]).toEqual([from, 0]);
  // What it goes on from is the caller's.
  sums.sums[0] = 9;
  expect(from[0]).toBe(1);
});
