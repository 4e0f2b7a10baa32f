import { describe, expect, it } from 'vitest';
import {
  compareResults,
  comparisonMarkdown,
  parseBenchReport,
  statistics,
  type Comparable,
} from '../../../src/bench/index.js';

const results = (...tests: [variant: string, test: string, samples: number[]][]): Comparable => ({
  results: tests.map(([variant, test, samples]) => ({
    variant,
    test,
    batch: 1,
    tokensPerSecond: statistics(samples),
  })) as unknown as Comparable['results'],
});

describe('compareResults', () => {
  const before = results(['whole', 'tg8', [99, 100, 101]], ['whole', 'pp8', [50, 100, 150]], ['gone', 'tg8', [1]]);
  const after = results(['whole', 'pp8', [60, 110, 160]], ['whole', 'tg8', [149, 150, 151]], ['new', 'tg8', [1]]);

  it('pairs what both have, in the new order', () =>
    expect(compareResults(before, after).map(({ variant, test }) => `${variant} ${test}`)).toEqual([
      'whole pp8',
      'whole tg8',
    ]));

  it('calls a difference within the noise none', () => {
    const [prefill, decode] = compareResults(before, after);
    expect(prefill).toMatchObject({ before: 100, after: 110, ratio: 1.1, verdict: 'same' });
    expect(decode).toMatchObject({ ratio: 1.5, verdict: 'faster' });
    expect(compareResults(after, before)[0]).toMatchObject({ test: 'tg8', verdict: 'slower' });
  });

  it('is a table, or says that there is nothing to compare', () => {
    expect(comparisonMarkdown(compareResults(before, after))[3]).toMatch(
      /^\| whole \| tg8 \| 1 \| 100 \| 150 \| 1.500 ± 0.0\d\d \| faster \|$/,
    );
    expect(comparisonMarkdown(compareResults(before, results()))).toEqual([
      'No test of the other report is in this one.',
    ]);
  });
});

describe('parseBenchReport', () => {
  it.each([
    null,
    7,
    {},
    { results: [{ variant: 'whole' }] },
    { results: [{ variant: 'a', test: 'b', batch: 1, tokensPerSecond: { median: 'fast' } }] },
  ])('refuses %j', (document) =>
    expect(() => parseBenchReport(document, 'old.json')).toThrow('old.json holds no results of llm-drop bench'),
  );
});
