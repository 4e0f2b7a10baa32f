/** Generations that go on with the keys and values of earlier ones. */
import { afterAll, describe, expect, it, vi } from 'vitest';
import { createEngine, type Engine } from '../../../src/engine/index.js';
import { TokenCache, createModel, generate, type Model, type PartialConfig } from '../../../src/models/index.js';

const engine: Engine = await createEngine('reference');
afterAll(() => engine.dispose());

const config: PartialConfig = {
  vocabSize: 40,
  hiddenSize: 16,
  intermediateSize: 12,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
  eosTokenIds: [],
};

/** How many tokens each pass computed. */
function passesOf(model: Model): number[] {
  const lengths: number[] = [];
  const forward = model.forwardYielding.bind(model);
  vi.spyOn(model, 'forwardYielding').mockImplementation((batch, o) => {
    lengths.push(batch.tokens.length);
    return forward(batch, o);
  });
  return lengths;
}

const texts = [[1, 2, 3], [1, 2, 3, 0, 0, 4, 5], [1, 2, 9], [1, 2, 9], [7]];

describe('TokenCache', () => {
  it('computes what differs, and gives the same tokens', async () => {
    using model = await createModel(config, { engine, seed: 3 });
    using cache = new TokenCache(model);
    const expected = [];
    for (const text of texts) expected.push(await generate(model, text, { maxTokens: 4, cache: false }));
    const passes = passesOf(model);
    for (const [i, text] of texts.entries()) {
      expect(await generate(model, text, { maxTokens: 4, cache })).toEqual(expected[i]);
      const [first, ...rest] = passes.splice(0);
      expect(rest).toEqual([1, 1, 1]);
      // Room for 16 tokens was made at the second, in place of 8 with three tokens in them.
      expect(first).toBe([3, 7, 1, 1, 1][i]);
    }
    // A longer text in the same room.
    const held = [...texts[4], ...expected[4].tokens];
    expect((await generate(model, [...held, 8], { maxTokens: 1, cache })).tokens).toEqual(
      (await generate(model, [...held, 8], { maxTokens: 1 })).tokens,
    );
    expect(passes.at(-2)).toBe(2); // the last token that was generated never ran
  });

  it('is right after an answer that was stopped', async () => {
    using model = await createModel(config, { engine, seed: 3 });
    using cache = new TokenCache(model);
    const stop = new AbortController();
    let count = 0;
    const onToken = (): void => void (++count === 2 && stop.abort());
    const { tokens, stoppedBy } = await generate(model, [1, 2, 3], {
      maxTokens: 9,
      cache,
      signal: stop.signal,
      onToken,
    });
    expect({ count: tokens.length, stoppedBy }).toEqual({ count: 2, stoppedBy: 'signal' });
    const next = [1, 2, 3, ...tokens, 6];
    expect(await generate(model, next, { maxTokens: 4, cache })).toEqual(await generate(model, next, { maxTokens: 4 }));
  });

  it('computes all anew where angles change with the length', async () => {
    const rope = { type: 'dynamic', theta: 10000, factor: 2, maxPositions: 6 } as const;
    using model = await createModel({ ...config, rope, maxPositionEmbeddings: 6 }, { engine, seed: 3 });
    using cache = new TokenCache(model);
    let text = [1, 2, 3];
    for (let turn = 0; turn < 3; turn++) {
      const { tokens } = await generate(model, text, { maxTokens: 3, cache });
      expect(tokens).toEqual((await generate(model, text, { maxTokens: 3, cache: false })).tokens);
      text = [...text, ...tokens, 4];
    }
  });

  it('leaves nothing behind', async () => {
    const before = engine.memory();
    {
      using model = await createModel(config, { engine });
      using cache = new TokenCache(model);
      await generate(model, [1], { cache });
    }
    expect(engine.memory()).toEqual(before);
  });

  it('takes no keys that were turned for a longer text', async () => {
    const rope = { type: 'dynamic', theta: 10000, factor: 4, maxPositions: 16 } as const;
    const sizes = { hiddenSize: 32, intermediateSize: 64, vocabSize: 300, headDim: 16, maxPositionEmbeddings: 16 };
    using model = await createModel({ ...config, ...sizes, rope }, { engine, seed: 3 });
    using cache = new TokenCache(model);
    const long = Array.from({ length: 60 }, (_, i) => (131 + i * i * 17 + 7 * i) % 300);
    for (const length of [60, 12, 30]) {
      const text = long.slice(0, length);
      const expected = await generate(model, text, { maxTokens: 12, cache: false });
      expect(await generate(model, text, { maxTokens: 12, cache })).toEqual(expected);
    }
  });
});
