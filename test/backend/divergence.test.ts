import fc from 'fast-check';
import { arraySource } from '../../src/engine/index.js';
import { againstReference, floats, holds, random, seed, size } from '../support/backends.js';
import { expectClose } from '../support/expectClose.js';

againstReference('divergence', (pair, backend) => {
  const cases = fc.record({
    seed,
    rows: size(40),
    width: size(20),
    vocabulary: size(70),
    scale: fc.constantFrom(0.1, 1, 3),
    logits: fc.constantFrom({}, { scale: 0.25 }, { softCap: 30 }, { scale: 2, softCap: 10 }),
  });
  // What scales and caps do to logits below 180 is less than what products do: a cap is off by 12 roundings of itself.
  // Logits of at most 20 x 3 x 3 in float32 are off by 20 * 2^-24 * 180 = 2e-4; their differences enter weighted by p.
  holds(
    'is KL(p || q) of the heads of two streams',
    cases,
    async (c) => {
      const [actual, expected] = await pair().run(async (engine) => {
        const [reference, h] = [c.seed, c.seed + 1].map((s) => floats(engine, s, [c.rows, c.width], c.scale));
        const bias = floats(engine, c.seed + 4, [c.vocabulary]);
        const norm = { gain: floats(engine, c.seed + 2, [c.width]), epsilon: 1e-5 };
        using head = await engine.pack(
          arraySource(random(c.seed + 3, [c.vocabulary, c.width], c.scale), [c.vocabulary, c.width]),
          'linear',
        );
        return [
          ...(await engine.readFloats(engine.divergence(reference, h, { weight: head, norm, bias, ...c.logits }))),
          ...(await engine.readFloats(engine.divergence(h, h, { weight: head }))),
        ];
      });
      expectClose(actual, expected, 5e-4);
    },
    backend === 'wasm' ? 50 : 15,
  );
});
