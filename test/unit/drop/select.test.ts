import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mostRedundant, randomSelector, selectDrops, targets, type Scores } from '../../../src/drop/index.js';
import { importanceWith } from './scores.js';

/** Few distinct scores, so that ties are common; null is what cannot be dropped. */
const scores = (layers: number): fc.Arbitrary<Scores> =>
  fc.array(fc.option(fc.integer({ min: -2, max: 2 }), { freq: 3 }), { minLength: layers, maxLength: layers });

describe('the most redundant', () => {
  it.each<[string, Scores, number, number[]]>([
    ['are the highest, in the order of the layers', [0.1, 0.9, 0.5, 0.7], 2, [1, 3]],
    ['of equals, the first', [0.5, 0.5, 0.9, 0.5], 3, [0, 1, 2]],
    ['are those below 0 where there are no others', [-3, -1, -2], 2, [1, 2]],
    ['are never what has no score', [null, -5, null, 0], 2, [1, 3]],
    ['are none where none are asked for', [1, 2], 0, []],
  ])('%s', (_, of, count, expected) => expect(mostRedundant(of, count)).toEqual(expected));
});

describe('sub-layers of either kind ranked together', () => {
  const importance = importanceWith(3, { attention: [0.9, 0.2, 0.5], mlp: [0.5, 0.8, null], block: [9, 9, 9] });

  it('go by their own scores alone', () => {
    expect(selectDrops(importance, 'joint', 1)).toEqual({ attention: [0], mlp: [] });
    expect(selectDrops(importance, 'joint', 2)).toEqual({ attention: [0], mlp: [1] });
    expect(selectDrops(importance, 'joint', 5)).toEqual({ attention: [0, 1, 2], mlp: [0, 1] });
  });

  it('of equals, attentions come before MLPs, also those of later layers', () =>
    expect(selectDrops(importance, 'joint', 3)).toEqual({ attention: [0, 2], mlp: [1] }));

  it('of a kept layer, neither goes', () =>
    expect(selectDrops(importance, 'joint', 2, { keep: [0] })).toEqual({ attention: [2], mlp: [1] }));

  it('any that goes scores at least as much as any that stays', () => {
    const cases = fc.integer({ min: 1, max: 6 }).chain((layers) =>
      fc.record({
        attention: scores(layers),
        mlp: scores(layers),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
      }),
    );
    fc.assert(
      fc.property(cases, ({ attention, mlp, share }) => {
        const open = [...attention, ...mlp].filter((score) => score !== null).length;
        const count = Math.round(share * open);
        const drops = selectDrops(importanceWith(attention.length, { attention, mlp }), 'joint', count);
        const of = (isGone: boolean): (number | null)[] => [
          ...attention.filter((_, i) => drops.attention.includes(i) === isGone),
          ...mlp.filter((_, i) => drops.mlp.includes(i) === isGone),
        ];
        expect(of(true)).toHaveLength(count);
        expect(of(true)).not.toContain(null);
        const least = Math.min(...(of(true) as number[]));
        for (const score of of(false)) expect(score ?? -Infinity).toBeLessThanOrEqual(least);
      }),
    );
  });
});

it('blocks go by the scores of blocks, whole', () => {
  const importance = importanceWith(3, { attention: [1, 0, 0], mlp: [1, 0, 0], block: [0, 0.5, 0.4] });
  expect(selectDrops(importance, 'block', 2)).toEqual({ attention: [1, 2], mlp: [1, 2] });
});

describe('a count that cannot be met', () => {
  const importance = importanceWith(4, { attention: [1, null, 2, 3] });
  it.each([
    [4, [], 3],
    [3, [0], 2],
    [1, [0, 1, 2, 3], 0],
    [-1, [], 3],
    [1.5, [], 3],
    [NaN, [], 3],
  ])('%d with %j kept is refused, and the sentence says what could be', (count, keep, can) =>
    expect(() => selectDrops(importance, 'attention', count, { keep })).toThrow(
      `cannot drop ${count} of target 'attention': ${can} can be dropped`,
    ),
  );

  it('and a target that there is not', () =>
    expect(() => selectDrops(importance, 'heads' as never, 1)).toThrow('there is no target "heads"'));
});

describe('chance', () => {
  it('takes exactly as many, none that cannot go, whatever the seed', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 6 }).chain(scores), fc.nat(), (seed, of, n) => {
        const open = of.flatMap((score, i) => (score === null ? [] : [i]));
        const chosen = randomSelector(seed)(of, n % (open.length + 1));
        expect(chosen).toHaveLength(n % (open.length + 1));
        expect(chosen).toEqual(open.filter((i) => chosen.includes(i)));
      }),
    );
  });

  it('takes each as often as any other, whatever its score', () => {
    const seeds = 2000;
    const taken = [0, 0, 0, 0];
    for (let seed = 0; seed < seeds; seed++) for (const i of randomSelector(seed)([-9, 0, 1, 9], 2)) taken[i]++;
    // Half of the seeds each, with a deviation of sqrt(2000 / 4) = 22: five of them.
    for (const count of taken) expect(Math.abs(count - seeds / 2)).toBeLessThan(112);
  });

  it('is of every target', () => {
    for (const target of targets) {
      const choices = Array.from({ length: 20 }, (_, seed) =>
        JSON.stringify(selectDrops(importanceWith(6), target, 2, { selector: randomSelector(seed) })),
      );
      expect(new Set(choices).size, target).toBeGreaterThan(5);
    }
  });
});
