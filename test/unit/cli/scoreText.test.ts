import { describe, expect, it } from 'vitest';
import { describeScores } from '../../../src/cli/scoreText.js';
import type { ExpertWorks } from '../../../src/drop/index.js';
import { importanceWith } from '../drop/scores.js';

/** Of 200 tokens, expert i is visited by i. */
const visited = (experts: number): ExpertWorks[number] =>
  Array.from({ length: experts }, (_, visits) => ({ visits, weights: 0, outputs: 0 }));
const shown = (experts: ExpertWorks): string[] =>
  describeScores({ ...importanceWith(2), tokens: 200, experts }, 60).slice(7);

describe('how often experts are visited', () => {
  it('is a column for each that there is room for', () =>
    expect(shown([null, visited(3)])).toEqual([
      'tokens that visit each expert, in percent',
      'layer    0    1    2',
      '1      0.0  0.5  1.0',
    ]));

  it('else the least and the most, and how many are not visited at all', () =>
    expect(shown([visited(21), null])).toEqual([
      'tokens that visit an expert, of 21, in percent (--json has each)',
      'layer  never visited  least  median  most',
      '0                  1    0.0     5.0  10.0',
    ]));

  it('is not said of a model that has dropped all mixtures', () => expect(shown([null, null])).toEqual([]));
});
