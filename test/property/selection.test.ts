import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { selectDrops, targets, type Importance } from '../../src/drop/index.js';
import { keepLists } from '../../src/testing/index.js';

const importances = (layers: number): fc.Arbitrary<Importance> => {
  // Few distinct scores, so that ties are common.
  const scores = fc.array(
    fc.integer({ min: -4, max: 4 }).map((n) => n / 4),
    { minLength: layers, maxLength: layers },
  );
  return fc
    .record({ attention: scores, mlp: scores, block: scores, attentionBare: scores, mlpBare: scores })
    .map((similarity) => ({
      metric: 'cosine',
      samples: 1,
      length: 2,
      tokens: 2,
      similarity,
      blockConsecutive: [],
    }));
};

const cases = fc.integer({ min: 1, max: 8 }).chain((layers) =>
  fc.record({
    layers: fc.constant(layers),
    importance: importances(layers),
    keep: keepLists(layers),
    target: fc.constantFrom(...targets),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
  }),
);

const candidates = (c: { layers: number; keep: number[]; target: string }): number =>
  (c.layers - c.keep.length) * (c.target === 'joint' ? 2 : 1);

describe('selectDrops', () => {
  it('chooses as many as asked for, none of a kept layer', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const count = Math.floor(c.share * candidates(c));
        const { attention, mlp } = selectDrops(c.importance, c.target, count, { keep: c.keep });
        expect(c.target === 'block' ? attention.length : attention.length + mlp.length).toBe(count);
        expect([...attention, ...mlp].filter((i) => c.keep.includes(i))).toEqual([]);
      }),
    );
  });

  it('is invariant to monotone maps of the scores', () => {
    fc.assert(
      fc.property(
        cases,
        fc.constantFrom(
          Math.exp,
          Math.atan,
          (x: number) => x ** 3,
          (x: number) => 7 * x - 2,
        ),
        (c, map) => {
          const count = Math.floor(c.share * candidates(c));
          const similarity = Object.fromEntries(
            Object.entries(c.importance.similarity).map(([kind, scores]) => [kind, (scores as number[]).map(map)]),
          );
          const mapped = { ...c.importance, similarity: similarity as never };
          expect(selectDrops(mapped, c.target, count, { keep: c.keep })).toEqual(
            selectDrops(c.importance, c.target, count, { keep: c.keep }),
          );
        },
      ),
    );
  });

  it('breaks ties to the lower index, and drops the higher score first', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const scores = c.importance.similarity.attention as number[];
        const count = Math.floor(c.share * c.layers);
        const { attention } = selectDrops(c.importance, 'attention', count);
        const rest = scores.map((_, i) => i).filter((i) => !attention.includes(i));
        for (const chosen of attention)
          for (const left of rest)
            expect(scores[chosen] > scores[left] || (scores[chosen] === scores[left] && chosen < left)).toBe(true);
      }),
    );
  });

  it('refuses a count that cannot be met, and a layer past the end', () => {
    const importance = fc.sample(importances(4), { numRuns: 1, seed: 1 })[0];
    expect(() => selectDrops(importance, 'attention', 5)).toThrow(
      "cannot drop 5 of target 'attention': 4 can be dropped",
    );
    expect(() => selectDrops(importance, 'joint', 1, { keep: [4] })).toThrow(
      '`keep` names layer 4, but the model has 4 (0 to 3)',
    );
  });
});
