import { claimOutputs } from '../checkpoint/index.js';
import { UserError } from '../engine/index.js';
import { recordedDrops, type Drops, type LoadOptions } from '../models/index.js';
import {
  chosenTasks,
  exampleSeed,
  groups,
  leaves,
  pairedResults,
  presets,
  type ChosenTasks,
  type PairedResults,
  type PresetName,
  type Task,
  type TaskResults,
} from '../tasks/index.js';
import { askModel, askedTasks, type AskOptions, type AskedTask } from './askedTasks.js';
import { checkJob, type JobOptions } from './jobOptions.js';
import { writeJson } from './jsonFiles.js';
import { provenance, type Provenance } from './provenance.js';
import { ResumeBeside, taskProgressBeside } from './resume.js';
import { loadTextModel, type TextModel } from './textModel.js';

export interface EvaluateTasksOptions extends JobOptions, Omit<LoadOptions, 'onProgress' | 'memory'> {
  /** Tasks and groups of them, such as `arc_easy` or `mmlu`. @defaultValue those of the preset */
  readonly tasks?: readonly string[];
  /** Tasks and their numbers of examples as a paper has them, and the average that it tells. */
  readonly preset?: PresetName;
  /** The folder that holds a folder of rows for each task. */
  readonly data: string;
  /** Examples before each question. @defaultValue the preset's, else the task's */
  readonly shots?: number;
  /** Questions of each task, from its first. @defaultValue all */
  readonly limit?: number;
  /** Another model to compare with, as its folder has it; `whole` is this one without `drops`. */
  readonly beside?: string;
  /** A file for the result as JSON; an interrupted run leaves its progress beside it. @defaultValue none is written */
  readonly out?: string;
}

/** What was measured of one model. */
interface MeasuredTasks extends TaskResults {
  readonly model: string;
  readonly drop: Drops;
  /** As the preset's paper averages; null where not all of its tasks ran. */
  readonly average?: number | null;
}

/** What lm-eval's results say of a model, and what it was. */
export interface TasksRecord extends MeasuredTasks, Provenance {
  readonly config: { readonly limit: number | null; readonly fewshot_seed: number };
  /** The other model, and this one's numbers less its own, question by question. */
  readonly beside?: MeasuredTasks & { readonly differences: PairedResults };
}

/**
 * Asks a model the questions of tasks, as lm-evaluation-harness does, and measures its answers; with `beside`, those of
 * another model too, and what differs. Goes on where an interrupted run with the same `out` left off. UserError for a task
 * that is not known, and for data that is missing or not the task's.
 */
export async function evaluateTasks(folder: string, o: EvaluateTasksOptions): Promise<TasksRecord> {
  checkJob(o);
  const chosen = chosenTasks(namesOf(o));
  checkBeside(o);
  const other = o.beside === 'whole' ? undefined : o.beside;
  await using _claim = await claimOutputs({
    reads: [folder, o.adapter, o.data, other],
    writes:
      o.out === undefined ? [] : [{ path: o.out, kind: 'file', overwrite: true, beside: taskProgressBeside(o.out) }],
  });
  const read = await askedTasks(chosen, { ...o, shotsOf: shotsOf(o) }, o);
  const resume = o.out === undefined ? undefined : new ResumeBeside(o.out, o.onNote);
  const record = await recordOf(folder, { read, chosen, resume }, o);
  if (o.out !== undefined) await writeJson(o.out, record);
  await resume?.finished();
  return record;
}

/** What every model is asked. */
interface Exam {
  readonly read: readonly AskedTask[];
  readonly chosen: ChosenTasks;
  readonly resume?: ResumeBeside;
}

async function recordOf(folder: string, exam: Exam, o: EvaluateTasksOptions): Promise<TasksRecord> {
  await using loaded = await loadTextModel(folder, o);
  const now = await measured(folder, loaded, exam, { ...o, kept: 'tasks' });
  const record: TasksRecord = {
    ...now,
    config: { limit: o.limit ?? null, fewshot_seed: exampleSeed },
    ...provenance(loaded.model),
  };
  if (o.beside === undefined) return record;
  const other = await measuredOther(folder, o.beside, loaded, exam, o);
  return { ...record, beside: { ...other, differences: pairedResults(now, other, exam.chosen.groups) } };
}

/** The other model takes this one's place in memory. */
async function measuredOther(
  folder: string,
  beside: string,
  { model, tokenizer }: TextModel,
  exam: Exam,
  o: EvaluateTasksOptions,
): Promise<MeasuredTasks> {
  if (beside === 'whole') {
    model.setDrops(recordedDrops(model.config));
    await model.load();
    return measured(folder, { model, tokenizer }, exam, { ...o, kept: 'beside' });
  }
  model.unload();
  const { onProgress, onNote, signal } = o;
  await using other = await loadTextModel(beside, { engine: model.engine, onProgress, onNote, signal });
  return await measured(beside, other, exam, { ...o, kept: 'beside' });
}

async function measured(
  name: string,
  loaded: Pick<TextModel, 'model' | 'tokenizer'>,
  { read, chosen, resume }: Exam,
  o: EvaluateTasksOptions & Pick<AskOptions, 'kept'>,
): Promise<MeasuredTasks> {
  const drop = loaded.model.drops;
  const results = await askModel(loaded, read, chosen, { ...o, resume });
  return { model: name, drop, ...results, ...(o.preset && { average: averageOf(results, o.preset) }) };
}

function namesOf({ tasks, preset }: EvaluateTasksOptions): readonly string[] {
  if (tasks) return tasks;
  if (preset) return presets[preset].map(({ name }) => name);
  throw new UserError('no task is named: give `tasks` or `preset`');
}

/** The number that was asked for, or that of the preset, where it names the task or its group, or the task's own. */
function shotsOf({ shots, preset }: EvaluateTasksOptions): (task: Task) => number {
  const inPreset = ({ name }: Task): number | undefined =>
    preset &&
    presets[preset].find((one) => {
      const group = groups.find((some) => some.name === one.name);
      return one.name === name || (group && leaves(group, groups).includes(name));
    })?.shots;
  return (task) => shots ?? inPreset(task) ?? task.shots ?? 0;
}

function averageOf({ results }: TaskResults, preset: PresetName): number | null {
  const counted = presets[preset].filter(({ averaged }) => averaged);
  const values = counted.map(({ name, metric }) => results[name]?.[metric]);
  return values.every((value) => typeof value === 'number')
    ? values.reduce((sum, value) => sum + value, 0) / values.length
    : null;
}

function checkBeside({ beside, drops }: EvaluateTasksOptions): void {
  const count = (drops?.attention?.length ?? 0) + (drops?.mlp?.length ?? 0);
  if (beside === 'whole' && count === 0)
    throw new UserError(
      '`beside` whole compares with this model before modules are dropped, and none is named to drop',
      {
        hint: 'name the original’s folder to compare with a model that was dropped before',
      },
    );
}
