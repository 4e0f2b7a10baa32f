/** What is asked of a drop: what says it completely, and what does not go together. */
import { describe, expect, it } from 'vitest';
import { checkedDrop, type DropRequest } from '../../../src/jobs/dropRequest.js';

const calibration = ['a.txt'];

describe('a drop is said', () => {
  it('by its modules', () => expect(checkedDrop({ drops: { mlp: [1] } })).toBeUndefined());

  it('by a target, a count and a text', () =>
    expect(checkedDrop({ target: 'mlp', count: 2, calibration })).toMatchObject({ metric: 'cosine', iterations: 1 }));

  it('by scores', () =>
    expect(
      checkedDrop({ target: 'block', count: 2, importance: 'a.json', consecutive: true, keep: [0] }),
    ).toMatchObject({
      ...{ target: 'block', consecutive: true, keep: [0] },
    }));

  it('by a method without a text', () =>
    expect(checkedDrop({ target: 'mlp', count: 2, metric: 'random' })).toMatchObject({ metric: 'random', seed: 0 }));
});

describe('a drop is refused that', () => {
  it.each<[string, DropRequest, string]>([
    ['says nothing', {}, 'what to drop is not said (give `target` and `count`, or `drops.attention` or `drops.mlp`)'],
    ['says no count', { target: 'mlp' }, 'what to drop is not said'],
    [
      'names modules and a target',
      { drops: { attention: [] }, target: 'mlp' },
      '`drops.attention` and `drops.mlp` say what to drop, so `target`, `count`, `importance` and `keep` do not go with them',
    ],
    [
      'names modules and a method',
      { drops: { mlp: [1] }, metric: 'angular', seed: 1, consecutive: false },
      '`drops.attention` or `drops.mlp` says what to drop, so `metric` and `seed` do not go with it',
    ],
    [
      'has scores and a metric',
      { target: 'mlp', count: 1, importance: {}, metric: 'cosine' },
      '`importance` holds scores that were made before, so `metric` does not go with it',
    ],
    [
      'scores nothing',
      { target: 'mlp', count: 1 },
      'choosing what to drop needs scores (give `calibration` with a text',
    ],
    [
      'searches without a text',
      { target: 'mlp', count: 1, search: 'greedy-kl' },
      '`search` greedy-kl needs `calibration` with a text',
    ],
    ['holds back no refit', { drops: { mlp: [1] }, alpha: 2 }, '`alpha` says how `compensate` refits'],
    ['refits on nothing', { drops: { mlp: [1] }, compensate: 'all' }, 'give `calibration` beside `compensate`'],
    [
      'refits and writes no weights',
      { drops: { mlp: [1] }, compensate: 'all', calibration, configOnly: true },
      '`compensate` writes weights, so `configOnly` does not go with it',
    ],
    [
      'refits integers',
      { drops: { mlp: [1] }, compensate: 'all', calibration, quantize: (source) => source },
      'so `quantize` does not go with it (compensate first, and run the result with `quantize`)',
    ],
  ])('%s', (_, request, sentence) => expect(() => checkedDrop(request)).toThrow(sentence));
});
