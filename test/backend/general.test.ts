import fc from 'fast-check';
import { expect } from 'vitest';
import type { Engine } from '../../src/engine/engine.js';
import type { Shape } from '../../src/engine/errors.js';
import { againstReference, floats, holds, magnitudes, random, seed, size } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
}

againstReference('general operations', (pair) => {
  holds(
    'matmul, either side transposed',
    fc.record({
      seed,
      m: size(70),
      k: fc.oneof(size(40), fc.constantFrom(511, 512, 513, 1030)),
      n: size(40),
      ta: fc.boolean(),
      tb: fc.boolean(),
    }),
    async ({ seed, m, k, n, ta, tb }) => {
      const [a, b] = [random(seed, [m, k]), random(seed + 1, [n, k])];
      const [left, right] = [ta ? transposed(a, m, k) : a, tb ? b : transposed(b, n, k)];
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(
          engine.matmul(engine.tensor(left, ta ? [k, m] : [m, k]), engine.tensor(right, tb ? [n, k] : [k, n]), {
            transposeA: ta,
            transposeB: tb,
          }),
        ),
      );
      // A sum of k products in any order is off by at most k roundings of their magnitudes.
      const bound = magnitudes(a, b, m, k, n);
      expectClose(actual, expected, (i) => (k + 1) * unitRoundoff * bound[i], 'matmul');
    },
  );

  const shapes = fc.record({ seed, outer: size(9), size: size(40), inner: size(6) });
  const right = (kind: string, shape: Shape): Shape =>
    kind === 'same' ? shape : kind === 'tail' ? shape.slice(1) : [1];

  holds(
    'add and multiply, broadcast or not',
    fc.tuple(shapes, fc.constantFrom('same', 'tail', 'one')),
    async ([{ seed, ...s }, kind]) => {
      const shape = [s.outer, s.size, s.inner];
      for (const op of ['add', 'multiply'] as const) {
        const [actual, expected] = await pair().run((engine) =>
          engine.readFloats(engine[op](floats(engine, seed, shape), floats(engine, seed + 1, right(kind, shape)))),
        );
        // One rounding of the exact result.
        expectClose(actual, expected, (i) => unitRoundoff * Math.abs(expected[i]), op);
      }
    },
  );

  holds(
    'gather takes rows by index',
    fc.record({ seed, rows: size(40), width: size(20), picks: fc.array(fc.nat(), { maxLength: 50 }) }),
    async ({ seed, rows, width, picks }) => {
      const indices = Int32Array.from(picks, (pick) => pick % rows);
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(engine.gather(floats(engine, seed, [rows + 1, width]).rows(1, rows + 1), indices)),
      );
      const values = random(seed, [rows + 1, width]).subarray(width);
      const own = Array.from(indices).flatMap((row) => Array.from(values.subarray(row * width, (row + 1) * width)));
      expect(Array.from(expected)).toEqual(own);
      expect(Array.from(actual)).toEqual(own);
    },
  );

  holds(
    'views start where they say',
    fc.record({ seed, rows: fc.integer({ min: 3, max: 9 }), width: size(20) }),
    async ({ seed, rows, width }) => {
      const [actual, expected] = await pair().run((engine) => {
        const x = floats(engine, seed, [rows, width]);
        return engine.readFloats(engine.add(x.rows(1, rows), x.rows(0, rows - 1)));
      });
      expectClose(actual, expected, (i) => unitRoundoff * Math.abs(expected[i]));
    },
  );

  holds(
    'softmax, sum, mean and argmax along any axis',
    fc.tuple(shapes, fc.constantFrom(0, 1, 2)),
    async ([{ seed, ...s }, axis]) => {
      const shape = [s.outer, s.size, s.inner];
      const n = shape[axis];
      const along = (op: (engine: Engine) => Promise<ArrayLike<number>>) => pair().run(op);
      const [soft, softExpected] = await along((engine) =>
        engine.readFloats(engine.softmax(floats(engine, seed, shape, 20), axis)),
      );
      // exp is off by 2 ulp, its argument by one rounding of at most 40; the sum by n roundings of positive terms.
      expectClose(soft, softExpected, (i) => (n + 8 + 80) * unitRoundoff * softExpected[i], 'softmax');
      const [sum, sumExpected] = await along((engine) =>
        engine.readFloats(engine.sum(floats(engine, seed, shape), axis)),
      );
      expectClose(sum, sumExpected, n * n * unitRoundoff, 'sum');
      const [mean, meanExpected] = await along((engine) =>
        engine.readFloats(engine.mean(floats(engine, seed, shape), axis)),
      );
      expectClose(mean, meanExpected, n * unitRoundoff, 'mean');
      const [best, bestExpected] = await along((engine) =>
        engine.read(engine.argmax(floats(engine, seed, shape), axis)),
      );
      expect([...(best as Int32Array)]).toEqual([...(bestExpected as Int32Array)]);
    },
  );

  holds(
    'argmax takes the first of equals',
    fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: 50 }),
    async (values) => {
      const [actual] = await pair().run((engine) => engine.read(engine.argmax(engine.tensor(values))));
      expect(actual[0]).toBe(values.indexOf(Math.max(...values)));
    },
  );

  holds(
    'cast truncates towards zero, and back is exact',
    fc.record({ seed, count: size(40) }),
    async ({ seed, count }) => {
      const [actual, expected] = await pair().run((engine) =>
        engine.read(engine.cast(floats(engine, seed, [count], 1000), 'int32')),
      );
      expect([...(actual as Int32Array)]).toEqual([...(expected as Int32Array)]);
      const [back] = await pair().run((engine) =>
        engine.read(engine.cast(engine.cast(floats(engine, seed, [count], 1000), 'int32'), 'float32')),
      );
      expect(back).toEqual(Float32Array.from(actual as Int32Array));
    },
  );
});
