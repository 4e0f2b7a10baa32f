/** What messages show of what is in files, and what they suggest in its place. */
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { didYouMean, nearest, shownName, shownNames, shownValue } from '../../../src/engine/index.js';

describe('what is shown is bounded', () => {
  it('of any value', () =>
    fc.assert(
      fc.property(fc.anything(), (value) => {
        expect(shownValue(value).length).toBeLessThanOrEqual(60);
      }),
    ));
  it('of names', () => {
    expect(shownNames([])).toBe('none');
    expect(shownNames(['a', 'b'])).toBe('a, b');
    const many = Array.from({ length: 5000 }, (_, i) => `${i}-${'x'.repeat(5000)}`);
    expect(shownNames(many)).toMatch(/^0-x+…, .* and 4988 more$/);
    expect(shownNames(many).length).toBeLessThan(12 * 62 + 20);
    expect(shownName('y'.repeat(99))).toHaveLength(60);
  });
});

describe('the nearest name', () => {
  const targets = ['attention', 'mlp', 'block', 'joint'];
  it.each([
    ['atention', 'attention'],
    ['attenton', 'attention'],
    ['attnetion', 'attention'],
    ['ATTENTION', 'attention'],
    ['blok', 'block'],
    ['lock', 'block'],
    ['pml', undefined],
    ['heads', undefined],
    ['', undefined],
    ['x'.repeat(100_000), undefined],
  ])('to %.12s is %s', (given, expected) => expect(nearest(given, targets)).toBe(expected));

  it('is one letter away from itself with any letter wrong, missing, added or swapped', () =>
    fc.assert(
      fc.property(
        fc.constantFrom(...targets),
        fc.nat(8),
        fc.constantFrom('wrong', 'missing', 'added', 'swapped'),
        (name, at, how) => {
          const i = at % (name.length - 1);
          const typed = {
            wrong: `${name.slice(0, i)}_${name.slice(i + 1)}`,
            missing: name.slice(0, i) + name.slice(i + 1),
            added: `${name.slice(0, i)}_${name.slice(i)}`,
            swapped: name.slice(0, i) + name[i + 1] + name[i] + name.slice(i + 2),
          }[how]!;
          expect(didYouMean(typed, targets)).toBe(`did you mean ${name}?`);
        },
      ),
    ));
});
