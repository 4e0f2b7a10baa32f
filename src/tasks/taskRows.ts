import { readdir } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { fileError } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { formOf, readRecords, recordEndings } from '../text/index.js';
import { Row } from './row.js';
import type { Split, Task } from './task.js';

/** A task's rows: those that are asked about, and those that examples come from. */
export interface TaskRows {
  readonly asked: readonly Row[];
  readonly examples: readonly Row[];
  /** Whether the data holds no rows for examples, so that they come from those that are asked about. */
  readonly examplesOfAsked: boolean;
}

/** How paths name the splits: data sets of the hub, and of others. */
const splitWords: Readonly<Record<string, Split>> = {
  train: 'train',
  dev: 'dev',
  validation: 'validation',
  valid: 'validation',
  val: 'validation',
  test: 'test',
};

/**
 * Reads a task's rows of its folder in `data`, whose files are .jsonl, .json, .parquet or .csv: as the hub has them, or
 * with one file for each split. Folders or files name the split, as `test-00000-of-00001.parquet` does; one file alone
 * need not. UserError where the rows that are asked about are missing, or are none of the task's.
 */
export async function taskRows(task: Task, data: string, withExamples: boolean): Promise<TaskRows> {
  const folder = join(data, task.folder ?? task.name);
  const files = await filesOf(task, folder);
  const { asked, examples } = task.splits;
  const ofSplit = (split: Split): string[] => files.filter((file) => splitOf(relative(folder, file)) === split);
  const unnamed = files.filter((file) => splitOf(relative(folder, file)) === undefined);
  const askedFiles = ofSplit(asked).length ? ofSplit(asked) : unnamed;
  if (askedFiles.length === 0)
    throw new UserError(`${folder} holds no ${asked} rows of ${task.name}: no file there is named for them`, {
      hint: `on the hub they are in ${task.dataset}${task.part ? `, ${task.part}` : ''}; docs/measuring.md says which files are read`,
    });
  const rows = await rowsOf(askedFiles);
  if (rows.length === 0) throw new UserError(`${askedFiles.join(', ')}: there is no row`);
  const exampleFiles = withExamples ? ofSplit(examples) : [];
  const examplesOfAsked = exampleFiles.length === 0 && examples !== asked;
  return { asked: rows, examples: exampleFiles.length ? await rowsOf(exampleFiles) : rows, examplesOfAsked };
}

async function filesOf(task: Task, folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? new UserError(`there is no folder ${folder}, where the rows of ${task.name} should be`, {
          hint: `on the hub they are in ${task.dataset}; docs/measuring.md says how they are laid out`,
        })
      : fileError(error, 'cannot read', folder);
  });
  const files = entries
    .filter((entry) => !entry.isDirectory() && recordEndings.includes(formOf(entry.name).ending))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
  const { part } = task;
  if (part === undefined) return files;
  const named = files.filter((file) => isOf(part, relative(folder, file)));
  // A folder that several tasks share names them; one of its own need not.
  return named.length || task.folder !== undefined ? named : files;
}

const segmentsOf = (path: string): string[] => {
  const segments = path.split(sep);
  return [...segments.slice(0, -1), segments.at(-1)!.split('.')[0]];
};

/** `anatomy/test-00000-of-00001.parquet`, `test/anatomy_test.csv` and `anatomy.jsonl` are of the part `anatomy`. */
function isOf(part: string, path: string): boolean {
  const split = Object.keys(splitWords).join('|');
  return segmentsOf(path).some((segment) => segment.replace(new RegExp(`[-_](${split})([-_].*)?$`), '') === part);
}

function splitOf(path: string): Split | undefined {
  const words = segmentsOf(path).flatMap((segment) => segment.toLowerCase().split(/[^a-z]+/));
  const word = words.findLast((one) => Object.hasOwn(splitWords, one));
  return word === undefined ? undefined : splitWords[word];
}

async function rowsOf(files: readonly string[]): Promise<Row[]> {
  const rows: Row[] = [];
  for (const file of files) for await (const { record, place } of readRecords(file)) rows.push(Row.of(record, place));
  return rows;
}
