import fc from 'fast-check';
import { expect, it } from 'vitest';
import { planStep } from '../../../src/serve/stepPlan.js';

const prompts = fc.array(fc.integer({ min: 2, max: 40 }), { minLength: 1, maxLength: 6 });

it('runs prompts to their end in parts of at least two tokens, and no more than the budget', () => {
  fc.assert(
    fc.property(prompts, fc.nat(4), fc.integer({ min: 1, max: 20 }), (lengths, decoding, budget) => {
      const left = [...lengths];
      const singles = Array.from({ length: decoding }, () => ({ tokens: 1, divisible: true }));
      for (let step = 0; left.some((tokens) => tokens > 0); step++) {
        expect(step).toBeLessThan(lengths.reduce((a, b) => a + b, 0));
        const waiting = left.map((tokens) => ({ tokens, divisible: true }));
        const counts = planStep([...singles, ...waiting], budget);
        expect(counts.slice(0, decoding)).toEqual(singles.map(() => 1));
        const parts = counts.slice(decoding);
        expect(parts).not.toContain(1);
        expect(parts.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(Math.max(3, budget - decoding));
        for (const [i, part] of parts.entries()) left[i] -= part;
      }
    }),
  );
});
