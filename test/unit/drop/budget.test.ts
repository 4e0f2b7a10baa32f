import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { keepsTo, parseBudgets, withinBudget, type Cost } from '../../../src/drop/index.js';

const whole = { parameters: 100, kvBytesPerToken: 64, tokensPerSecond: 50 };
const point = { parameters: 70, kvBytesPerToken: 32, tokensPerSecond: 40, speedup: 1.25 };

describe('a budget', () => {
  it.each([
    ['decode=0.8', true],
    ['decode=0.79', false],
    ['decode=25ms', true],
    ['decode=24ms', false],
    ['parameters=0.7', true],
    ['parameters=0.069k', false],
    ['kv=0.5', true],
    ['kv=31B', false],
    ['kv=.032 kB', true],
  ])('%s: %s', (text, kept) => expect(keepsTo(parseBudgets(text)[0], point, whole)).toBe(kept));

  it.each([
    ['decode=2s', 'decode', 2],
    ['decode=2ms', 'decode', 2e-3],
    ['decode=2us', 'decode', 2e-6],
    ['parameters=2k', 'parameters', 2e3],
    ['parameters=2M', 'parameters', 2e6],
    ['parameters=2B', 'parameters', 2e9],
    ['kv=2B', 'kv', 2],
    ['kv=2kB', 'kv', 2000],
    ['kv=2KiB', 'kv', 2048],
    ['kv=2MB', 'kv', 2e6],
    ['kv=2MiB', 'kv', 2 ** 21],
  ])('%s is in its own units', (text, kind, most) =>
    expect(parseBudgets(text)).toEqual([{ kind, most: expect.closeTo(most, 12) as number, relative: false, text }]),
  );

  it('keeps how each was written, without the spaces around', () =>
    expect(parseBudgets(' kv=0.5 ,decode=20 ms').map(({ text }) => text)).toEqual(['kv=0.5', 'decode=20 ms']));

  it.each([
    ['kv=0', 'within 0 to 1'],
    ['kv=1.5', 'within 0 to 1'],
    ['kv=5ms', 'has the unit ms, but kv knows B, kB, MB, KiB, MiB'],
    ['parameters=5toString', 'has the unit toString'],
    ['kv=-1', 'is not understood'],
    ['loss=0.5', 'is not understood'],
    ['kv=0.5,', 'is not understood'],
    ['', 'is not understood'],
  ])("'%s' is refused", (text, problem) => expect(() => parseBudgets(text)).toThrow(problem));

  it('of decoding no model keeps whose speed was not measured', () => {
    const unmeasured: Cost = { parameters: 1, kvBytesPerToken: 1, tokensPerSecond: null, speedup: null };
    for (const text of ['decode=1', 'decode=1000s'])
      expect(keepsTo(parseBudgets(text)[0], unmeasured, whole)).toBe(false);
    expect(keepsTo(parseBudgets('kv=1B')[0], unmeasured, whole)).toBe(true);
  });
});

describe('of several points', () => {
  it('that of the least loss within all budgets is chosen, of equals the first', () => {
    const points = [
      { ...point, loss: 3 },
      { ...point, loss: 2 },
      { ...point, loss: 2, kvBytesPerToken: 31 },
      { ...point, loss: 1, parameters: 90 },
    ];
    expect(withinBudget(points, whole, parseBudgets('kv=0.5, parameters=0.8'))).toBe(points[1]);
    expect(withinBudget(points, whole, parseBudgets('kv=0.1'))).toBeUndefined();
    expect(withinBudget(points, whole, [])).toBe(points[3]);
  });

  it('a tighter budget never chooses a smaller loss', () => {
    const costs = fc.record({
      parameters: fc.integer({ min: 0, max: 100 }),
      kvBytesPerToken: fc.integer({ min: 0, max: 64 }),
      tokensPerSecond: fc.constant(null),
      loss: fc.integer({ min: 0, max: 9 }),
    });
    const share = fc.integer({ min: 1, max: 100 });
    fc.assert(
      fc.property(fc.array(costs), share, share, (points, a, b) => {
        const of = (percent: number): number =>
          withinBudget(points, whole, parseBudgets(`parameters=${percent / 100}`))?.loss ?? Infinity;
        expect(of(Math.min(a, b))).toBeGreaterThanOrEqual(of(Math.max(a, b)));
      }),
    );
  });
});
