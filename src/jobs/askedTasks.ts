import { createHash } from 'node:crypto';
import { PeriodicSaver, fingerprintOf } from '../progress/index.js';
import {
  answersOf,
  askedQuestions,
  samplesOf,
  taskResults,
  taskRows,
  taskTokens,
  textRequests,
  type Answer,
  type Asked,
  type ChosenTasks,
  type Task,
  type TaskResults,
  type TaskRun,
} from '../tasks/index.js';
import { stageOf, type JobOptions } from './jobOptions.js';
import type { Resumable, Resume } from './resume.js';
import type { TextModel } from './textModel.js';
import { llmDropVersion } from './version.js';

/** A task's questions, as every model is asked them. */
export interface AskedTask {
  readonly task: Task;
  readonly shots: number;
  /** Rows of the data that could be asked about. */
  readonly available: number;
  readonly asked: readonly Asked[];
}

/** Reads the tasks' rows, and puts their examples before the questions. */
export async function askedTasks(
  { tasks }: ChosenTasks,
  { data, limit, shotsOf }: { data: string; limit?: number; shotsOf: (task: Task) => number },
  o: JobOptions,
): Promise<AskedTask[]> {
  const reading = stageOf(o, 'reading');
  const read: AskedTask[] = [];
  for (const task of tasks) {
    const shots = shotsOf(task);
    const rows = await taskRows(task, data, shots > 0);
    if (rows.examplesOfAsked && shots > 0)
      o.onNote?.(
        `the data of ${task.name} has no ${task.splits.examples} rows: its examples are other ${task.splits.asked} rows`,
      );
    read.push({ task, shots, available: rows.asked.length, asked: askedQuestions(task, rows, { shots, limit }) });
    reading(read.length, tasks.length, 'tasks');
  }
  return read;
}

/** Answers so far, by task. */
type Answers = Readonly<Record<string, readonly (Answer | null)[]>>;

export interface AskOptions extends JobOptions {
  /** Where the answers so far are kept, and under which name; nowhere without. */
  readonly resume?: Resume;
  readonly kept: Resumable;
}

/** Asks one model all questions, from where an interrupted run left off. */
export async function askModel(
  loaded: Pick<TextModel, 'model' | 'tokenizer'>,
  read: readonly AskedTask[],
  { groups }: ChosenTasks,
  o: AskOptions,
): Promise<TaskResults> {
  const { model, tokenizer } = loaded;
  const progress = await o.resume?.open<Answers>(o.kept, () => {
    const first = read.map(({ task, asked }) => taskTokens(tokenizer, task.scoring, asked.slice(0, 1))[0][0]);
    return fingerprintOf({
      model,
      rows: { 'tokens of the first questions': first.map(({ tokens }) => Int32Array.from(tokens)) },
      settings: { questions: questionsDigest(read) },
      version: llmDropVersion(),
    });
  });
  let answered: Answers = progress?.previous ?? {};
  if (progress?.previous) o.onNote?.(`continuing from ${progress.path}`);
  const saver = new PeriodicSaver<Answers>(progress);
  const runs: TaskRun[] = [];
  await saver.around(async () => {
    for (const { task, shots, available, asked } of read) {
      const answers = await answersOf(loaded, task, taskTokens(tokenizer, task.scoring, asked), {
        done: answered[task.name],
        onAnswers: (some) => saver.reached((answered = { ...answered, [task.name]: some })),
        onProgress: stageOf(o, `asking ${task.name}`),
        signal: o.signal,
      });
      runs.push({ task, shots, available, samples: samplesOf(task, asked, answers) });
    }
    await saver.reached(answered, true); // what is interrupted next may be another model
  });
  return taskResults(runs, groups, o.signal);
}

/** SHA-256 of all texts. */
function questionsDigest(read: readonly AskedTask[]): string {
  const hash = createHash('sha256');
  for (const { task, asked } of read)
    hash.update(JSON.stringify([task.name, asked.map((one) => textRequests(one, task.scoring))]));
  return hash.digest('hex');
}
