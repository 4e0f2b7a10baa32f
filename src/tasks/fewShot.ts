import { UserError } from '../engine/index.js';
import { PythonRandom } from './pythonRandom.js';
import type { Row } from './row.js';
import { choicesOf, type Question, type Task } from './task.js';
import type { TaskRows } from './taskRows.js';

/** What lm-eval seeds the examples of each task with. */
export const exampleSeed = 1234;

/** A row that is asked about, its question, and the text before it. */
export interface Asked {
  readonly row: Row;
  readonly question: Question;
  /** The task's description and the examples, which its prompts continue. */
  readonly before: string;
}

/**
 * The first `limit` questions of a task, each behind its `shots` examples, as lm-eval's context has them: drawn by one
 * generator for all questions in their order, or the first ones. A question is no example for itself; one more is drawn
 * where it may be among them. UserError where there are too few examples.
 */
export function askedQuestions(
  task: Task,
  rows: TaskRows,
  { shots, limit = Infinity }: { shots: number; limit?: number },
): Asked[] {
  const draw = shots === 0 ? () => [] : examplesOf(task, rows, shots);
  return rows.asked.slice(0, limit).map((row) => ({
    row,
    question: task.question(row),
    before:
      (task.description ?? '') +
      draw(row)
        .map((one) => example(task.question(one)))
        .join(''),
  }));
}

function example(question: Question): string {
  const { prompt, answer } = choicesOf(question)[question.gold];
  return `${prompt} ${answer}\n\n`;
}

function examplesOf(task: Task, { examples, examplesOfAsked }: TaskRows, shots: number): (row: Row) => Row[] {
  if (task.examples === 'first') {
    checkEnough(task, examples, shots);
    return (row) => examples.filter((one) => !examplesOfAsked || !one.equals(row)).slice(0, shots);
  }
  const random = new PythonRandom(exampleSeed);
  // lm-eval guards against the question where a task names no test rows; so do we where examples come from its own kind.
  const guarded = task.splits.asked === 'validation' || examplesOfAsked;
  checkEnough(task, examples, guarded ? shots + 1 : shots);
  if (!guarded) return () => random.sample(examples, shots);
  return (row) => {
    const others = random.sample(examples, shots + 1).filter((one) => !one.equals(row));
    if (others.length >= shots) return others.slice(0, shots);
    // Of rows that are there several times, more than one may have gone.
    return random.sample(
      examples.filter((one) => !one.equals(row)),
      shots,
    );
  };
}

function checkEnough(task: Task, examples: readonly Row[], needed: number): void {
  if (examples.length < needed)
    throw new UserError(`${task.name} has ${examples.length} rows for examples, and \`shots\` needs ${needed}`, {
      hint: 'give its data more rows, or ask for fewer examples',
    });
}
