/** Beside the numbers of Python's own generator. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { PythonRandom, bootstrapPerplexityError } from '../../../src/tasks/index.js';

const expected = JSON.parse(readFileSync(new URL('../../fixtures/tasks/random.json', import.meta.url), 'utf8')) as {
  readonly random: readonly number[];
  readonly samples: readonly (readonly [size: number, count: number, drawn: readonly number[]])[];
  readonly choices: readonly number[];
  readonly perplexityError: number;
};

it('gives the numbers of Python, one kind after the other', () => {
  const random = new PythonRandom(1234);
  expect(expected.random.map(() => random.random())).toEqual(expected.random);
  // Few items are drawn in another way than many.
  for (const [size, count, drawn] of expected.samples)
    expect(random.sample([...Array(size).keys()], count), `${count} of ${size}`).toEqual(drawn);
  expect(expected.choices.map(() => random.place(1000))).toEqual(expected.choices);
});

it('draws no more than there is', () => {
  expect(() => new PythonRandom(0).sample([1, 2], 3)).toThrow(RangeError);
});

it('finds the error of a perplexity as lm-eval does', async () => {
  const values = Array.from({ length: 40 }, (_, i) => 0.125 * i - 3);
  // Python sums in the same order; only exp may round otherwise.
  expect(await bootstrapPerplexityError(values, 2000)).toBeCloseTo(expected.perplexityError, 12);
});
