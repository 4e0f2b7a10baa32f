import fc from 'fast-check';
import { againstReference, floats, holds, seed, size } from '../support/backends.js';
import { expectClose, unitRoundoff } from '../support/expectClose.js';

againstReference('rmsNorm', (pair) => {
  holds(
    'any rows, widths and scales',
    fc.record({
      seed,
      rows: size(9),
      width: size(300),
      epsilon: fc.constantFrom(1e-6, 1e-5, 0.1),
      scale: fc.constantFrom(1e-4, 1, 1e4),
    }),
    async ({ seed, rows, width, epsilon, scale }) => {
      const [actual, expected] = await pair().run((engine) =>
        engine.readFloats(
          engine.rmsNorm(floats(engine, seed, [rows, width], scale), {
            gain: floats(engine, seed + 1, [width]),
            epsilon,
          }),
        ),
      );
      // The sum of squares is off by width roundings at most, halved by the root; then six operations.
      expectClose(actual, expected, (i) => (width / 2 + 6) * unitRoundoff * Math.abs(expected[i]));
    },
  );
});
