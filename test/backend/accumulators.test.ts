import fc from 'fast-check';
import { expect, it } from 'vitest';
import { againstReference, floats, holds, seed, size } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';

againstReference('accumulators', (pair, backend) => {
  holds(
    'cosine adds up rows over calls',
    fc.record({
      seed,
      rows: size(20),
      width: size(100),
      calls: fc.integer({ min: 1, max: 3 }),
      scale: fc.constantFrom(1e-3, 1, 1e3),
    }),
    async ({ seed, rows, width, calls, scale }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        using sums = engine.accumulator(3);
        for (let call = 0; call < calls; call++)
          engine.cosine(
            floats(engine, seed + call, [rows, width], scale),
            floats(engine, seed + 9 + call, [rows, width]),
            sums,
            1,
          );
        return await engine.readAccumulator(sums);
      });
      // Cosines of float32 rows in float64: width roundings of 2^-53. A backend without float64 rounds a cosine's products
      // and their sum by at most width u of the norms' product, each norm by width / 2 + 1, their product and the quotient
      // by one; and a call's sum over rows by one an addition.
      const single = (2 * width + 4 + rows) * rows * unitRoundoff;
      expectClose(actual, expected, backend === 'wasm' ? 1e-12 : single * calls);
    },
  );

  it('cosine of rows enough for many threads', async () => {
    const [rows, width] = [301, 577];
    const [actual, expected] = await pair().run(async (engine) => {
      using sums = engine.accumulator(2);
      for (const at of [0, 1])
        engine.cosine(floats(engine, 1 + at, [rows, width]), floats(engine, 5, [rows, width]), sums, at);
      return await engine.readAccumulator(sums);
    });
    // As above; here rows as many as these are added up, too.
    expectClose(actual, expected, backend === 'wasm' ? 1e-12 * rows : 1e-7 * rows);
  });

  it('cosine of a zero row is 0', async () => {
    const [actual] = await pair().run(async (engine) => {
      using sums = engine.accumulator(1);
      engine.cosine(engine.zeros([2, 5]), floats(engine, 1, [2, 5]), sums, 0);
      return await engine.readAccumulator(sums);
    });
    expect([...Array.from(actual)]).toEqual([0]);
  });

  holds(
    'gram adds up over calls',
    fc.record({ seed, rows: size(40), width: size(30), calls: fc.integer({ min: 1, max: 3 }) }),
    async ({ seed, rows, width, calls }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        using sums = engine.accumulator(width ** 2);
        for (let call = 0; call < calls; call++) engine.gram(floats(engine, seed + call, [rows, width]), sums);
        return await engine.readAccumulator(sums);
      });
      // Products of float32 are exact in float64; without it each call's sum has `rows` roundings of terms below 1.
      expectClose(actual, expected, backend === 'wasm' ? 1e-12 : (rows + 1) * rows * calls * unitRoundoff);
    },
  );

  holds(
    'crossGram adds up over calls',
    fc.record({ seed, rows: size(40), height: size(30), width: size(30), calls: fc.integer({ min: 1, max: 3 }) }),
    async ({ seed, rows, height, width, calls }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        using sums = engine.accumulator(height * width);
        for (let call = 0; call < calls; call++)
          engine.crossGram(
            floats(engine, seed + call, [rows, height]),
            floats(engine, seed + 9 + call, [rows, width]),
            sums,
          );
        return await engine.readAccumulator(sums);
      });
      expectClose(actual, expected, backend === 'wasm' ? 1e-12 : (rows + 1) * rows * calls * unitRoundoff); // as above
    },
  );
});
