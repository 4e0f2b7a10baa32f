/** Experts: what scores know of them, and which go. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  expertMethod,
  importanceOf,
  methodRecord,
  parseImportance,
  parseShard,
  selectExperts,
  withoutDropped,
  type ExpertCriterion,
  type ExpertWork,
  type ScoreSums,
} from '../../../src/drop/index.js';
import { withChecksum } from '../../../src/progress/index.js';
import { importanceWith } from './scores.js';

const work = (visits: number, weights: number, outputs: number): ExpertWork => ({ visits, weights, outputs });

/** Of three layers: a mixture of two experts, a dense one, and a mixture whose MLP is gone. */
const sums: ScoreSums = {
  ...{ metric: 'cosine', samples: 1, length: 4, tokens: 4, layers: 3, gaps: [1], experts: 2 },
  drop: { attention: [], mlp: [2] },
  sums: [...Array<number>(4 * 3 + 3).fill(0), ...[3, 1, 1.5, 0.5, 6, 2.5], ...Array<number>(12).fill(0)],
};

describe('scores', () => {
  it('know of each mixture that is there what its experts did', () =>
    expect(importanceOf(sums).experts).toEqual([[work(3, 1.5, 6), work(1, 0.5, 2.5)], null, null]));

  it('of a model without mixtures say nothing of experts', () => {
    const { experts: _, ...dense } = { ...sums, sums: sums.sums.slice(0, 15) };
    expect(importanceOf(dense)).not.toHaveProperty('experts');
  });

  it('forget the experts of a dropped MLP', () =>
    expect(withoutDropped(importanceOf(sums), { attention: [], mlp: [0] }).experts).toEqual([null, null, null]));

  it('are read from a file as they were written', () => {
    const scores = importanceOf(sums);
    expect(parseImportance(JSON.parse(JSON.stringify(scores)), 3, 'a.json')).toEqual(scores);
    const shard = { shard: { index: 1, count: 2 }, fingerprint: {}, sums };
    expect(parseShard(withChecksum(shard), 'b.json').scored).toEqual(sums);
  });

  it.each<[unknown, RegExp]>([
    [[null, null], /^a\.json holds no list 'experts' of 3 layers/],
    [[null, null, [work(1, 1, NaN)]], /^a\.json holds .* in experts\[2\], where what each expert did belongs/],
    [[null, null, [{ visits: 1 }]], /experts\[2\]/],
    [[null, null, [work(-1, 0, 0)]], /experts\[2\]/],
    [[null, null, 7], /holds 7 in experts\[2\]/],
  ])('with experts %j are refused', (experts, message) =>
    expect(() => parseImportance({ ...importanceWith(3), experts }, 3, 'a.json')).toThrow(message),
  );
});

describe('the experts that go', () => {
  // The first is visited most, the second gets the largest weights, the third changes the output most where it is visited.
  const works = [work(9, 2, 9), work(5, 4, 10), work(1, 1, 8), work(0, 0, 0)];
  it.each<[ExpertCriterion, number[]]>([
    ['reap', [0, 3]], // 1, 2, 8, 0
    ['visits', [2, 3]],
    ['weights', [2, 3]],
  ])('by %s are those of the least', (metric, gone) =>
    expect(selectExperts([works, null, works], expertMethod({ count: 2, metric }))).toEqual([gone, null, gone]),
  );

  it('of equals are those of the lower numbers', () =>
    expect(selectExperts([[work(1, 1, 1), work(1, 1, 1)]], expertMethod({ count: 1 }))).toEqual([[0]]));

  it('by any way are as many as asked for, and none matters more than one that stays', () => {
    const sum = fc.double({ min: 0, max: 100, noNaN: true });
    const some = fc.array(fc.record({ visits: fc.nat(50), weights: sum, outputs: sum }), {
      minLength: 1,
      maxLength: 9,
    });
    fc.assert(
      fc.property(some, fc.nat(8), fc.nat(99), (layer, given, seed) => {
        const count = 1 + (given % layer.length);
        const [chance] = selectExperts([layer], expertMethod({ count, metric: 'random', seed }));
        expect(new Set(chance).size).toBe(count);
        const [gone] = selectExperts([layer], expertMethod({ count, metric: 'visits' }));
        const stay = layer.filter((_, expert) => !gone!.includes(expert));
        const most = Math.max(...gone!.map((expert) => layer[expert].visits));
        expect(stay.every(({ visits }) => visits >= most)).toBe(true);
      }),
    );
  });

  it('by chance differ from layer to layer', () => {
    const same = Array.from({ length: 8 }, () => Array<ExpertWork>(32).fill(work(0, 0, 0)));
    const drops = selectExperts(same, expertMethod({ count: 8, metric: 'random' }));
    expect(new Set(drops.map(String)).size).toBe(8);
  });
});

it('a method is recorded as all others are', () =>
  expect(methodRecord(expertMethod({ count: 3 }))).toEqual({
    ...{ method: 'scores', target: 'expert', count: 3, metric: 'reap', search: 'score' },
    ...{ iterations: null, compat: null, seed: null, keepLayers: [] },
  }));
