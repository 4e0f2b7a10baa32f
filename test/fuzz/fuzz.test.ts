/** A slice of the mutants that `run.ts` makes: a seed that stays, and one of the day. */
import { expect, it } from 'vitest';
import { watch } from './watch.js';

const today = Number(new Date().toISOString().slice(0, 10).replaceAll('-', ''));

it.each([1, today])('mutants of seed %d are read or refused, and nothing else', async (seed) => {
  const { escapes, counts } = await watch({ seed, first: 0, end: 400, processes: 2, names: [] });
  const again = escapes.map(
    ({ number, target, escape }) =>
      `${target}: ${escape.slice(0, 1000)}\n  npx tsx test/fuzz/run.ts --seed ${seed} --only ${number}`,
  );
  expect(again.join('\n')).toBe('');
  const all = [...counts.values()];
  const [mutants, refused] = [all.reduce((sum, c) => sum + c.mutants, 0), all.reduce((sum, c) => sum + c.refused, 0)];
  console.log(`seed ${seed}: ${mutants} mutants, ${refused} refused`);
  // Neither are all refused, which would show that none is read, nor none.
  expect(mutants).toBe(400);
  expect(refused).toBeGreaterThan(150);
  expect(refused).toBeLessThan(360);
});
