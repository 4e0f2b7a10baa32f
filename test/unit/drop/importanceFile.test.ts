import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { importanceOf, parseImportance, parseShard, withoutDropped } from '../../../src/drop/index.js';
import { withChecksum } from '../../../src/progress/index.js';
import { dropSets } from '../../../src/testing/index.js';
import { importanceWith } from './scores.js';

/** As it comes back from a file. */
const throughJson = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
/** JSON has no -0. */
const score = fc.option(fc.double({ noNaN: true, noDefaultInfinity: true }).filter((x) => !Object.is(x, -0)));

describe('scores in a file', () => {
  it('are read as they were written, to the last bit', () => {
    const sized = fc.integer({ min: 1, max: 5 }).chain((layers) => {
      const list = fc.array(score, { minLength: layers, maxLength: layers });
      const similarity = fc.record({ attention: list, mlp: list, block: list, attentionBare: list, mlpBare: list });
      const windows = fc.oneof(fc.constant([]), fc.array(list, { minLength: layers, maxLength: layers }));
      return fc.record({
        layers: fc.constant(layers),
        scores: fc
          .record({ similarity, windows, count: fc.integer({ min: 1 }) })
          .map(({ similarity, windows, count }) => ({
            metric: 'angular',
            samples: count,
            length: 2,
            tokens: 2 * count,
            similarity,
            blockConsecutive: windows,
          })),
      });
    });
    fc.assert(
      fc.property(sized, ({ layers, scores }) => {
        expect(parseImportance(throughJson(scores), layers, 'a.json')).toEqual(scores);
      }),
    );
  });

  const fine = importanceWith(3, {
    windows: [
      [1, 2, 3],
      [1, 2, null],
      [1, null, null],
    ],
  });
  const { similarity } = fine;

  it.each<[string, object, RegExp]>([
    ['samples of 0', { samples: 0 }, /^a\.json holds no whole number 'samples'/],
    ['half a token', { tokens: 1.5 }, /no whole number 'tokens'/],
    ['a length in words', { length: '2' }, /no whole number 'length'/],
    ['a list in place of an object', { similarity: [] }, /holds no object 'similarity'/],
    ['no scores of a kind', { similarity: { ...similarity, mlpBare: undefined } }, /no list 'similarity\.mlpBare'/],
    [
      'a layer too many',
      { similarity: { ...similarity, block: [1, 2, 3, 4] } },
      /^a\.json scores 4 layers, but the model has 3/,
    ],
    [
      'true',
      { similarity: { ...similarity, mlp: [0, true, 1] } },
      /holds true in 'similarity\.mlp', where a number or null/,
    ],
    ['what JSON makes of NaN in a text', { similarity: { ...similarity, mlp: [0, 'NaN', 1] } }, /holds "NaN" in/],
    ['windows that are no lists', { blockConsecutive: [1, 2, 3] }, /no list 'blockConsecutive\[0\]'/],
    ['windows of another model', { blockConsecutive: [[1], [1], [1]] }, /scores 1 layers, but the model has 3/],
    [
      'windows of fewer layers',
      { blockConsecutive: fine.blockConsecutive.slice(1) },
      /scores windows of 2 layers, but the model has 3/,
    ],
  ])('%s is refused by name', (_, change, message) =>
    expect(() => parseImportance({ ...fine, ...change }, 3, 'a.json')).toThrow(message),
  );

  it.each([null, 7, 'scores', [], undefined])('%j holds none', (value) =>
    expect(() => parseImportance(value, 3, 'a.json')).toThrow('a.json holds no object of scores'),
  );

  it('of weights are of no tokens, and old ones without windows or metric are of cosines', () => {
    const none = { samples: 0, length: 0, tokens: 0 };
    expect(parseImportance({ ...fine, ...none, metric: 'gate-norm' }, 3, 'a.json')).toMatchObject(none);
    expect(parseImportance({ ...fine, metric: undefined, blockConsecutive: undefined }, 3, 'a.json')).toMatchObject({
      metric: 'cosine',
      blockConsecutive: [],
    });
  });
});

describe('what is gone', () => {
  it('has no score, but its block has until both are gone; the others keep theirs', () => {
    fc.assert(
      fc.property(dropSets(5), ({ attention, mlp }) => {
        const ones = [1, 2, 3, 4, 5];
        const all = { attention: ones, mlp: ones, block: ones, attentionBare: ones, mlpBare: ones };
        const { similarity } = withoutDropped(importanceWith(5, all), { attention, mlp });
        for (const [i, value] of ones.entries()) {
          const [a, m] = [attention, mlp].map((gone) => (gone.includes(i) ? null : value));
          expect([similarity.attention[i], similarity.attentionBare[i]]).toEqual([a, a]);
          expect([similarity.mlp[i], similarity.mlpBare[i]]).toEqual([m, m]);
          expect(similarity.block[i]).toBe(a ?? m);
        }
      }),
    );
  });
});

const shard = {
  shard: { index: 2, count: 3 },
  fingerprint: { model: 'a', version: '1' },
  sums: {
    metric: 'cosine',
    samples: 2,
    length: 4,
    tokens: 8,
    layers: 2,
    gaps: [1],
    drop: { attention: [1], mlp: [] },
    sums: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
  },
};

describe('the sums of a shard', () => {
  it('are refused where one is another than was written, or no checksum says so', () => {
    const saved = throughJson(withChecksum(shard)) as typeof shard;
    const [first, ...rest] = saved.sums.sums;
    const changed = { ...saved, sums: { ...saved.sums, sums: [first + 1e-9, ...rest] } };
    expect(() => parseShard(changed, 'b.json')).toThrow(
      'b.json is not as it was saved: its checksum is another (to score the shard again, remove b.json)',
    );
    expect(() => parseShard(shard, 'b.json')).toThrow('b.json has no checksum');
  });

  it('are read as they were written', () =>
    expect(parseShard(throughJson(withChecksum(shard)), 'b.json')).toEqual({
      shard: shard.shard,
      fingerprint: shard.fingerprint,
      scored: shard.sums,
      where: 'b.json',
    }));

  const { sums } = shard;
  it.each<[string, object, RegExp]>([
    ['of whole scores', { shard: undefined }, /^b\.json holds whole scores, not those of a shard/],
    ['without a fingerprint', { fingerprint: 'a' }, /no object 'fingerprint'/],
    ['with numbers in it', { fingerprint: { model: 1 } }, /something else than text in 'fingerprint'/],
    ['of no shards', { shard: { index: 1, count: 0 } }, /no whole number 'count'/],
    ['of no metric', { sums: { ...sums, metric: undefined } }, /no text 'metric'/],
    ['of no layers', { sums: { ...sums, layers: 0 } }, /no whole number 'layers'/],
    ['of fewer sums', { sums: { ...sums, sums: sums.sums.slice(1) } }, /no list of 10 numbers 'sums\.sums'/],
    ['of another window', { sums: { ...sums, gaps: [1, 2] } }, /no list of 12 numbers/],
    ['of windows in words', { sums: { ...sums, gaps: ['1'] } }, /no list of whole numbers 'sums\.gaps'/],
    ['that are null', { sums: { ...sums, sums: sums.sums.map(() => null) } }, /no list of 10 numbers/],
    [
      'of drops in words',
      { sums: { ...sums, drop: { attention: 'none', mlp: [] } } },
      /numbers 'sums\.drop\.attention'/,
    ],
  ])('%s are refused by name', (_, change, message) =>
    expect(() => parseShard({ ...shard, ...change }, 'b.json')).toThrow(message),
  );
});

it('scores are the means of sums: by part and layer, then windows by layer and length', () => {
  const { metric, samples, length, layers, gaps, drop } = shard.sums;
  const sums = { metric, samples, length, tokens: 10, layers: layers + 1, gaps: [...gaps, 3], drop };
  const scores = importanceOf({ ...sums, sums: Array.from({ length: 18 }, (_, i) => 10 * i) });
  expect(scores.similarity).toEqual({
    attention: [0, null, 2],
    mlp: [3, 4, 5],
    attentionBare: [6, null, 8],
    mlpBare: [9, 10, 11],
    block: [12, 14, 16],
  });
  expect(scores.blockConsecutive).toEqual([
    [12, null, 13],
    [14, null, null],
    [16, null, null],
  ]);
});
