import fc from 'fast-check';
import { againstReference, floats, holds, magnitudes, random, seed, size, weight } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';

againstReference('crossEntropy', (pair) => {
  holds(
    'any vocabulary, with targets left out',
    fc.record({
      seed,
      rows: size(30),
      hidden: size(40),
      vocabulary: fc.oneof(size(200), fc.constantFrom(1023, 1024, 1025, 2500)),
      norm: fc.boolean(),
      bias: fc.boolean(),
      scale: fc.option(fc.constantFrom(0.0625, 2), { nil: undefined }),
      softCap: fc.option(fc.constantFrom(5, 30), { nil: undefined }),
      targets: fc.array(fc.nat(), { minLength: 30, maxLength: 30 }),
    }),
    async ({ seed, rows, hidden, vocabulary, norm, bias, scale, softCap, targets }) => {
      const head = random(seed, [vocabulary, hidden]);
      const chosen = Int32Array.from({ length: rows }, (_, i) => (targets[i] % 5 === 0 ? -1 : targets[i] % vocabulary));
      const input = random(seed + 1, [rows, hidden], norm ? 1 : 3);
      const [actual, expected] = await pair().run(async (engine) => {
        using packed = await weight(engine, head, [vocabulary, hidden], 'linear');
        const whole = {
          weight: packed,
          norm: norm ? { gain: floats(engine, seed + 2, [hidden]), epsilon: 1e-5 } : undefined,
          bias: bias ? floats(engine, seed + 3, [vocabulary]) : undefined,
          scale,
          softCap,
        };
        const h = engine.tensor(input, [rows, hidden]);
        const [losses, logits] = [engine.crossEntropy(h, whole, chosen), engine.logits(h, whole)];
        return [...(await engine.readFloats(losses)), ...(await engine.readFloats(logits))];
      });
      // Two logits' errors (a normed row's norm is at most sqrt(hidden)), exp's 2 ulp with its argument's rounding, and the sums within and over stripes of 1024 columns.
      const sizes = norm
        ? new Float64Array(rows * vocabulary).fill(hidden)
        : magnitudes(input, head, rows, hidden, vocabulary);
      // A bias adds 1 and a rounding, a scale multiplies. A cap makes nothing larger (tanh's slope is at most 1) and is off by
      // 12 roundings of itself.
      const logitBound = (size: number): number =>
        unitRoundoff * ((scale ?? 1) * (1.5 * hidden + 9) * (size + (bias ? 1 : 0)) + 12 * (softCap ?? 0));
      const losses = Array.from(expected).slice(0, rows);
      expectClose(
        Array.from(actual).slice(rows),
        Array.from(expected).slice(rows),
        (i) => logitBound(sizes[i]),
        'logits',
      );
      expectClose(Array.from(actual).slice(0, rows), losses, (row) => {
        const largest = sizes
          .subarray(row * vocabulary, (row + 1) * vocabulary)
          .reduce((most, s) => Math.max(most, s), 0);
        const range = (scale ?? 1) * (largest + (bias ? 1 : 0));
        return 2 * logitBound(largest) + unitRoundoff * (4 * range + 1024 / 4 + 16 + Math.abs(losses[row]));
      });
    },
  );

  holds(
    'stays finite with large logits',
    fc.record({ seed, rows: size(5), vocabulary: size(50) }),
    async ({ seed, rows, vocabulary }) => {
      const [actual, expected] = await pair().run(async (engine) => {
        using packed = await weight(engine, random(seed, [vocabulary, 8], 100), [vocabulary, 8], 'linear');
        return await engine.readFloats(
          engine.crossEntropy(floats(engine, seed + 1, [rows, 8], 10), { weight: packed }, new Int32Array(rows)),
        );
      });
      // Logits up to 8000, each off by 9 roundings.
      expectClose(actual, expected, 20 * 8000 * unitRoundoff);
    },
  );
});
