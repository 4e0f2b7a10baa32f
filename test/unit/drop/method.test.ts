import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  chooseByScores,
  dropMethod,
  metricNames,
  needsText,
  searches,
  selectWindow,
  targets,
  type MethodRequest,
} from '../../../src/drop/index.js';
import { UserError } from '../../../src/engine/index.js';
import { dropSets, keepLists } from '../../../src/testing/index.js';
import { importanceWith } from './scores.js';

describe('a method', () => {
  it('has its defaults: one round by cosines', () =>
    expect(dropMethod({ target: 'mlp', count: 3 })).toEqual({
      target: 'mlp',
      count: 3,
      metric: 'cosine',
      search: 'score',
      iterations: 1,
      consecutive: false,
      compat: null,
      seed: null,
      keep: [],
    }));

  it('has no metric where a search measures the model, and a seed where chance chooses', () => {
    expect(dropMethod({ target: 'mlp', count: 1, search: 'greedy-kl' }).metric).toBeNull();
    expect(dropMethod({ target: 'mlp', count: 1, metric: 'random' }).seed).toBe(0);
    expect(dropMethod({ target: 'mlp', count: 1, metric: 'random', seed: 7 }).seed).toBe(7);
    expect(dropMethod({ target: 'block', count: 1, consecutive: true, compat: 'llm-drop' }).compat).toBe('llm-drop');
  });

  it('nothing can be dropped in one round, and in no more', () => {
    expect(dropMethod({ target: 'mlp', count: 0, iterations: 1 }).count).toBe(0);
    expect(() => dropMethod({ target: 'mlp', count: 0, iterations: 2 })).toThrow('`iterations` 2 cannot drop 0');
  });

  // Mostly left out: of all at once hardly any goes with the others.
  const maybe = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
    fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: value });
  const requests: fc.Arbitrary<MethodRequest> = fc.record({
    target: fc.constantFrom(...targets),
    count: fc.integer({ min: 0, max: 4 }),
    metric: maybe(fc.constantFrom(...metricNames)),
    search: maybe(fc.constantFrom(...searches)),
    iterations: maybe(fc.integer({ min: 1, max: 4 })),
    consecutive: maybe(fc.boolean()),
    compat: maybe(fc.constant('llm-drop' as const)),
    seed: maybe(fc.nat()),
  });

  it('that is refused is refused in one sentence; another has all that was asked for, and stays as it is', () => {
    let [refused, made] = [0, 0];
    fc.assert(
      fc.property(requests, (request) => {
        let method;
        try {
          method = dropMethod(request);
        } catch (error) {
          expect(error).toBeInstanceOf(UserError);
          expect((error as Error).message).toMatch(/^`[^\n]+[^.\n]$/);
          refused++;
          return;
        }
        made++;
        for (const [key, value] of Object.entries(request))
          if (value !== undefined) expect(method[key as keyof MethodRequest], key).toBe(value);
        const { metric, compat, seed, ...rest } = method;
        const again = { ...rest, metric: metric ?? undefined, compat: compat ?? undefined, seed: seed ?? undefined };
        expect(dropMethod(again)).toEqual(method);
        // Of scores one kind looks at text or none does; a search always does.
        expect(needsText(method)).toBe(!['gate-norm', 'random'].includes(metric ?? 'search'));
      }),
      { numRuns: 1000 },
    );
    expect(Math.min(refused, made)).toBeGreaterThan(50);
  });
});

describe('a choice by scores', () => {
  const cases = fc.record({
    earlier: dropSets(6),
    keep: keepLists(6),
    target: fc.constantFrom(...targets),
    metric: fc.constantFrom('cosine' as const, 'random' as const),
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    scores: fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 6, maxLength: 6 }),
  });

  it('adds as many as asked for to what was gone before', () => {
    fc.assert(
      fc.property(cases, ({ earlier, keep, target, metric, share, scores }) => {
        const gone = (i: number): [boolean, boolean] => [earlier.attention.includes(i), earlier.mlp.includes(i)];
        const open = [...Array(6).keys()]
          .filter((i) => !keep.includes(i))
          .reduce((sum, i) => {
            const [attention, mlp] = gone(i);
            if (target === 'block') return sum + (attention && mlp ? 0 : 1);
            return sum + (target !== 'mlp' && !attention ? 1 : 0) + (target !== 'attention' && !mlp ? 1 : 0);
          }, 0);
        const method = dropMethod({ target, count: Math.round(share * open), metric, keep });
        const importance = importanceWith(6, { attention: scores, mlp: scores, block: scores });
        const { drops } = chooseByScores(importance, method, earlier);
        for (const kind of ['attention', 'mlp'] as const) {
          expect(drops[kind]).toEqual(expect.arrayContaining([...earlier[kind]]));
          expect(drops[kind].filter((i) => keep.includes(i))).toEqual(earlier[kind].filter((i) => keep.includes(i)));
        }
        const added = [...Array(6).keys()].reduce((sum, i) => {
          const [attention, mlp] = gone(i);
          const [newAttention, newMlp] = [!attention && drops.attention.includes(i), !mlp && drops.mlp.includes(i)];
          return sum + (target === 'block' ? Number(newAttention || newMlp) : Number(newAttention) + Number(newMlp));
        }, 0);
        expect(added).toBe(method.count);
        expect(() => chooseByScores(importance, { ...method, count: open + 1 }, earlier)).toThrow('can be dropped');
      }),
    );
  });

  it('of a window is that window, with compat that of LLM-Drop', () => {
    const windows = [
      [0.1, 0.9, 0.1],
      [0.5, 0.2, null],
      [0.6, null, null],
    ];
    const importance = importanceWith(3, { windows });
    for (const compat of [undefined, 'llm-drop'] as const) {
      const method = dropMethod({ target: 'block', count: 1, consecutive: true, compat });
      const expected = selectWindow(importance, 1, { compat: compat !== undefined });
      expect(chooseByScores(importance, method, { attention: [], mlp: [] }).drops).toEqual(expected);
      expect(expected.attention).toEqual([compat ? 0 : 2]);
    }
  });
});
