/** docs/add-a-task.md, done as it says in a copy of the source: the task that comes out asks as lm-evaluation-harness does. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import type * as Tasks from '../../../src/tasks/index.js';
import { pageProject } from './pageProject.js';

const project = pageProject('docs/add-a-task.md');
afterAll(() => project[Symbol.dispose]());

const fixtures = new URL('../../fixtures/tasks/added', import.meta.url).pathname;

it('builds a task that asks as lm-eval does', async () => {
  expect(project.applied).toEqual(['sciq.ts', 'index.ts']);
  const { askedQuestions, chosenTasks, taskRows, textRequests } = (await import(
    join(project.folder, 'src/tasks/index.ts')
  )) as typeof Tasks;
  const [task] = chosenTasks(['sciq']).tasks;
  const rows = await taskRows(task, fixtures, true);
  const expected = JSON.parse(readFileSync(join(fixtures, 'sciq.json'), 'utf8')) as Record<
    string,
    readonly { readonly context: string; readonly continuations: readonly string[] }[]
  >;
  for (const [shots, questions] of Object.entries(expected)) {
    const asked = askedQuestions(task, rows, { shots: Number(shots) });
    expect(asked.map((one) => textRequests(one, task.scoring))).toEqual(
      questions.map(({ context, continuations }) => continuations.map((continuation) => ({ context, continuation }))),
    );
  }
});
