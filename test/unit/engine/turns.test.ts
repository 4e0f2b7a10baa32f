import { expect, it } from 'vitest';
import { createEngine } from '../../../src/engine/index.js';

it('turns of an engine come one after another in the order asked for, also after one that fails', async () => {
  using engine = await createEngine('reference');
  const events: string[] = [];
  const work = (name: string, fails = false): Promise<void> =>
    engine.exclusive(async () => {
      events.push(`${name} begins`);
      await new Promise(setImmediate);
      events.push(`${name} ends`);
      if (fails) throw new Error(name);
    });
  const outcomes = await Promise.allSettled([work('a'), work('b', true), work('c')]);
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
  expect(events).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

it('what a turn makes is freed with it, except what it keeps', async () => {
  using engine = await createEngine('reference');
  const kept = await engine.exclusive(async (scope) => {
    engine.tensor([1]);
    return scope.keep(engine.tensor([2]));
  });
  expect(engine.memory().tensors).toBe(1);
  expect(await engine.read(kept)).toEqual(Float32Array.of(2));
});
