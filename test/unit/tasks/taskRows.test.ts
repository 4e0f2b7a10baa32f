/** Where a task's rows are found, in which files, and what is refused. */
import { cpSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { askedQuestions, chosenTasks, taskRows, type Question } from '../../../src/tasks/index.js';
import { temporaryFolder } from '../checkpoint/places.js';

const fixtures = new URL('../../fixtures/tasks', import.meta.url).pathname;
const root = temporaryFolder();

async function questions(name: string, data: string): Promise<Question[]> {
  const [task] = chosenTasks([name]).tasks;
  return askedQuestions(task, await taskRows(task, data, false), { shots: 0 }).map(({ question }) => question);
}

/** A folder of data with these files. */
function dataOf(files: Record<string, string>): string {
  const folder = mkdtempSync(join(root, 'data-'));
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(join(folder, path, '..'), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return folder;
}

it.each(['arc_easy', 'mmlu_anatomy', 'winogrande'])('%s: parquet as on the hub is the same rows', async (name) => {
  expect(await questions(name, `${fixtures}/parquet`)).toEqual(await questions(name, `${fixtures}/rows`));
});

const simple = JSON.stringify({ choices: ['a', 'b'], query: 'Question: q?', gold: 1 });

it('takes a file without a split for the one that is asked about, and the named one of several', async () => {
  expect(await questions('arc_easy', dataOf({ 'arc_easy/arc_easy.jsonl': simple }))).toEqual([
    { prompt: 'Question: q?\nAnswer:', answer: ['a', 'b'], gold: 1 },
  ]);
  const other = simple.replace('q?', 'r?');
  const both = dataOf({ 'arc_easy/test.jsonl': other, 'arc_easy/train.jsonl': simple });
  expect((await questions('arc_easy', both)).map(({ prompt }) => prompt)).toEqual(['Question: r?\nAnswer:']);
});

it('parts a folder of several data sets by their names', async () => {
  const data = mkdtempSync(join(root, 'data-'));
  cpSync(`${fixtures}/parquet/arc_easy/ARC-Easy`, join(data, 'arc_easy/ARC-Easy'), { recursive: true });
  mkdirSync(join(data, 'arc_easy/ARC-Challenge'));
  writeFileSync(join(data, 'arc_easy/ARC-Challenge/test.jsonl'), simple);
  expect(await questions('arc_easy', data)).toEqual(await questions('arc_easy', `${fixtures}/rows`));
});

it('reads the subjects of MMLU from CSV, with commas and quotes', async () => {
  const csv = 'question,choice0,choice1,choice2,choice3,answer\n"Which, of ""these""?",a,"b, c",d,"e\nf",2\n';
  const data = dataOf({ 'mmlu/test/anatomy_test.csv': csv, 'mmlu/test/virology_test.csv': csv.replace('Which', 'No') });
  expect(await questions('mmlu_anatomy', data)).toEqual([
    {
      prompt: 'Which, of "these"?\nA. a\nB. b, c\nC. d\nD. e\nf\nAnswer:',
      answer: ['A', 'B', 'C', 'D'],
      gold: 2,
    },
  ]);
  await expect(questions('mmlu_astronomy', data)).rejects.toThrow('holds no test rows of mmlu_astronomy');
});

it.each([
  [{}, 'there is no folder'],
  [{ 'arc_easy/train.jsonl': simple }, 'holds no test rows of arc_easy'],
  [{ 'arc_easy/test.jsonl': '{"query": "q"}' }, 'line 1: there is no field choices'],
  [{ 'arc_easy/test.jsonl': simple.replace('1}', '2}') }, 'expected a number from 0 to 1 in the field gold, found 2'],
  [{ 'arc_easy/test.csv': 'query,gold\n"open' }, 'Quote Not Closed'],
  [{ 'arc_easy/test.csv': 'query,gold\na\n' }, 'Invalid Record Length: columns length is 2, got 1 on line 2'],
])('refuses %j', async (files, message) => {
  await expect(questions('arc_easy', dataOf(files))).rejects.toThrow(message);
});

it('leaves a question out of its own examples where these come from what is asked about', async () => {
  const lines = Array.from({ length: 8 }, (_, i) => simple.replace('q?', `${i}?`));
  const [task] = chosenTasks(['arc_easy']).tasks;
  const rows = await taskRows(task, dataOf({ 'arc_easy/arc_easy.jsonl': lines.join('\n') }), true);
  for (const { question, before } of askedQuestions(task, rows, { shots: 5 })) {
    expect(before.match(/Question/g)).toHaveLength(5);
    expect(before).not.toContain(question.prompt as string);
  }
  expect(() => askedQuestions(task, rows, { shots: 8 })).toThrow('`shots` needs 9');
});

it('names what is known where a task is not', () => {
  expect(() => chosenTasks(['arc_eazy'])).toThrow(/there is no task "arc_eazy": known are arc_easy/);
});
