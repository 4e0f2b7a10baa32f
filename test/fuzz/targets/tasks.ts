/** Rows of tasks, in every form that they are read in. */
import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { askedQuestions, chosenTasks, taskRows, textRequests } from '../../../src/tasks/index.js';
import type { Files, Target } from '../target.js';

const fixtures = fileURLToPath(new URL('../../fixtures/tasks/', import.meta.url));

/** The files below a folder of fixtures, one task's. */
const filesOf = (folder: string): Files =>
  Object.fromEntries(
    readdirSync(join(fixtures, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => [path.slice(fixtures.length).replace(/^\w+\//, ''), readFileSync(path)]),
  );

const csv = 'question,choice0,choice1,choice2,choice3,answer\n"Which, of ""these""?",a,"b, c",d,e,2\n';

/** By the task whose rows they are. */
const inputs: Readonly<Record<string, Files>> = {
  ...Object.fromEntries(
    readdirSync(join(fixtures, 'rows'))
      .filter((name) => name !== 'mmlu')
      .map((name) => [name, filesOf(`rows/${name}`)]),
  ),
  mmlu_anatomy: { 'mmlu/test/anatomy_test.csv': csv, 'mmlu/dev/anatomy_dev.csv': csv },
};

const hub: Files = filesOf('parquet/arc_easy');

export const taskTargets: readonly Target[] = [
  {
    name: 'tasks',
    share: 10,
    inputs: async () => [...Object.values(inputs), hub],
    read: async (folder) => {
      const [found] = readdirSync(folder);
      const [task] = chosenTasks([found === 'mmlu' ? 'mmlu_anatomy' : found]).tasks;
      const asked = askedQuestions(task, await taskRows(task, folder, true), { shots: 1 });
      return asked.flatMap((one) => textRequests(one, task.scoring).map(({ context }) => context.length));
    },
  },
];
