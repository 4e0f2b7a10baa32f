/** Log-likelihoods by shared beginnings and slots, beside those of each text run alone. */
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createBatch, type Engine } from '../../src/engine/index.js';
import { createModel, type Model } from '../../src/models/index.js';
import { logLikelihoods, type LogLikelihood, type TokenRequest } from '../../src/tasks/index.js';
import { modelSpecs } from '../../src/testing/index.js';
import { allBackends } from '../support/allBackends.js';

/** Questions whose choices begin alike: of few tokens, so that texts share more than the context. */
const questions = (vocabulary: number): fc.Arbitrary<TokenRequest[]> => {
  const token = fc.integer({ min: 0, max: Math.min(vocabulary, 3) - 1 });
  const texts = (minLength: number, maxLength: number): fc.Arbitrary<number[]> =>
    fc.array(token, { minLength, maxLength });
  return fc
    .tuple(texts(1, 9), fc.array(texts(1, 4), { minLength: 1, maxLength: 4 }))
    .map(([context, answers]) => answers.map((answer) => ({ tokens: [...context, ...answer], from: context.length })));
};

const cases = modelSpecs().chain((spec) =>
  fc.record({
    spec: fc.constant(spec),
    groups: fc.array(questions(spec.config.vocabSize), { minLength: 1, maxLength: 5 }),
  }),
);

/** By the loss of each token, the text run whole. */
async function alone(model: Model, { tokens, from }: TokenRequest): Promise<LogLikelihood> {
  const { engine } = model;
  using _scope = engine.scope();
  const hidden = model.forward(createBatch([tokens.slice(0, -1)]));
  const losses = await engine.readFloats(model.losses(hidden, Int32Array.from(tokens.slice(1))));
  const likeliest = await engine.read(engine.argmax(model.logits(hidden)));
  return {
    sum: -losses.slice(from - 1).reduce((sum, loss) => sum + loss, 0),
    greedy: tokens.slice(from).every((token, i) => likeliest[from - 1 + i] === token),
  };
}

describe.each(allBackends)('%s', (name, create) => {
  let engine: Engine;
  beforeAll(async () => void (engine = await create()));
  afterEach(() => expect(engine.memory()).toEqual({ tensors: 0, bytes: 0 }));
  afterAll(() => engine.dispose());

  it('are those of each text alone', async () => {
    await fc.assert(
      fc.asyncProperty(cases, async ({ spec: { config, seed }, groups }) => {
        using model = await createModel(config, { seed, engine });
        const found: (readonly LogLikelihood[])[] = [];
        await logLikelihoods(model, groups, {
          greedy: true,
          onGroup: async (place, some) => void (found[place] = some),
        });
        for (const [g, requests] of groups.entries())
          for (const [i, request] of requests.entries()) {
            const expected = await alone(model, request);
            // A dozen logits of some units each, in float32 with sums in another order.
            expect(Math.abs(found[g][i].sum - expected.sum)).toBeLessThan(1e-3 * Math.max(1, Math.abs(expected.sum)));
            expect(found[g][i].greedy).toBe(expected.greedy);
          }
      }),
      { numRuns: name === 'wasm' ? 40 : 10 },
    );
  });
});

/** A context of 8 tokens: a text of 12 is cut at its beginning, as lm-eval cuts it. */
it('cuts off the beginning of what is too long', async () => {
  const [, create] = allBackends[0];
  using engine = await create();
  const config = { modelType: 'llama', vocabSize: 12, hiddenSize: 8, intermediateSize: 8 };
  const heads = { numHiddenLayers: 1, numAttentionHeads: 2, numKeyValueHeads: 2, maxPositionEmbeddings: 8 };
  using model = await createModel({ ...config, ...heads }, { seed: 1, engine });
  const tokens = Array.from({ length: 12 }, (_, i) => i);
  const sums: number[] = [];
  await logLikelihoods(model, [[{ tokens, from: 10 }], [{ tokens: tokens.slice(-9), from: 7 }]], {
    onGroup: async (place, [{ sum }]) => void (sums[place] = sum),
  });
  expect(sums[0]).toBe(sums[1]);
});
