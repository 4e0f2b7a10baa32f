/** The texts of every task, with and without examples, are those that lm-evaluation-harness makes of the same rows. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { askedQuestions, chosenTasks, taskRows, textRequests } from '../../../src/tasks/index.js';

const fixtures = fileURLToPath(new URL('../../fixtures/tasks', import.meta.url));

interface Expected {
  readonly context: string | readonly string[];
  /** None where a text is generated. */
  readonly continuations?: readonly string[];
}

const expected = JSON.parse(readFileSync(`${fixtures}/requests.json`, 'utf8')) as Record<
  string,
  Record<string, readonly Expected[]>
>;

describe.each(Object.entries(expected))('%s', (name, byShots) => {
  const [task] = chosenTasks([name]).tasks;
  it.each(Object.keys(byShots))('asks as lm-eval does behind %s examples', async (given) => {
    const shots = Number(given);
    const rows = await taskRows(task, `${fixtures}/rows`, shots > 0);
    const asked = askedQuestions(task, rows, { shots });
    for (const [i, { context, continuations }] of byShots[given].entries()) {
      const requests = textRequests(asked[i], task.scoring);
      const contexts = typeof context === 'string' ? requests.map(() => context) : context;
      expect(requests.map((request) => request.context)).toEqual(contexts);
      if (continuations) expect(requests.map(({ continuation }) => continuation)).toEqual(continuations);
    }
  });
});

it('has every task among those that are compared, and all subjects of MMLU by two', () => {
  const named = chosenTasks([
    'arc_easy',
    'arc_challenge',
    'hellaswag',
    'piqa',
    'winogrande',
    'boolq',
    'openbookqa',
    'rte',
    'gsm8k',
    'lambada',
  ]).tasks.map(({ name }) => name);
  expect(Object.keys(expected)).toEqual(expect.arrayContaining(named));
  expect(chosenTasks(['mmlu']).tasks).toHaveLength(57);
});
