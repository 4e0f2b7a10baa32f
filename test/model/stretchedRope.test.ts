/** Rotary angles that change with the length of a text: each text has its own, whatever else is in the batch or the cache. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, type Engine } from '../../src/engine/index.js';
import { createModel, generate, type Model, type RopeParameters } from '../../src/models/index.js';
import { allBackends } from '../support/allBackends.js';
import { expectClose } from '../support/expectClose.js';

/** Both change beyond 8 tokens; dynamic goes on changing. */
const ropes: RopeParameters[] = [
  { type: 'dynamic', theta: 10000, factor: 2, maxPositions: 8 },
  {
    type: 'longrope',
    theta: 10000,
    shortFactors: [1, 1.5, 2, 3],
    longFactors: [2, 4, 8, 16],
    originalMaxPositions: 8,
    attentionFactor: 1.2,
  },
];
const row = (length: number): number[] => Array.from({ length }, (_, i) => (i * i + 3 * i + 1) % 40);

describe.each(allBackends)('%s', (_backend, create) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterAll(() => engine.dispose());

  describe.each(ropes)('$type', (rope) => {
    let model: Model;
    beforeAll(async () => {
      model = await createModel(
        {
          vocabSize: 40,
          hiddenSize: 32,
          intermediateSize: 24,
          numHiddenLayers: 2,
          numAttentionHeads: 4,
          headDim: 8,
          maxPositionEmbeddings: rope.type === 'dynamic' ? 8 : 64,
          rope,
        },
        { engine, seed: 5 },
      );
    });
    afterAll(() => model.dispose());

    const logits = async (...rows: number[][]): Promise<Float32Array> => {
      using _scope = engine.scope();
      return await engine.readFloats(model.logits(model.forward(createBatch(rows))));
    };

    it('gives each text of a batch what it has alone', async () => {
      const [short, long, longer] = [row(8), row(9), row(14)];
      const alone = await Promise.all([short, long, longer].map((text) => logits(text)));
      const together = await logits(short, long, longer);
      // The same sums in the same order, but for kernels of other sizes.
      expectClose(together, Float32Array.from(alone.flatMap((values) => Array.from(values))), 1e-4);
      const shorter = alone[1].subarray(0, alone[0].length);
      expect(Math.max(...alone[0].map((value, i) => Math.abs(value - shorter[i])))).toBeGreaterThan(1e-2);
    });

    it('continues a text as without a cache, and refuses keys that are turned otherwise', async () => {
      const options = { maxTokens: 8, stopTokens: [] };
      const [cached, plain] = [
        await generate(model, row(5), options),
        await generate(model, row(5), { ...options, cache: false }),
      ];
      expect(cached.tokens).toEqual(plain.tokens);
      expect(cached.tokens).toHaveLength(8);
      using cache = model.createCache({ capacity: 16 });
      await engine.exclusive(async () => {
        await engine.readFloats(model.forward(createBatch([row(8)]), { cache }));
        expect(() => model.forward(createBatch([[3]], [8]), { cache })).toThrow(/change with the length of the text/);
      });
    });
  });
});
