import { mean, standardError } from '../evaluate/index.js';
import { bootstrapPerplexityError } from './bootstrap.js';
import { isPerplexity, perplexity, type Answer, type Measured } from './metrics.js';
import type { Task, TaskGroup } from './task.js';

/** The metrics of a task or a group as lm-eval writes them: `acc,none`, `acc_stderr,none`, and `alias`, `sample_len`. */
export type Metrics = Readonly<Record<string, number | string>>;

/** What one question came to. */
export interface Sample {
  /** The question's place among the task's rows. */
  readonly doc_id: number;
  /** The right choice, or the right text. */
  readonly target: number | string;
  /** Log-likelihoods of the choices, each with whether all of its tokens are the likeliest; or what was said. */
  readonly resps: readonly (readonly [number, boolean])[] | string;
  readonly metrics: Measured;
}

/** A task that has run. */
export interface TaskRun {
  readonly task: Task;
  readonly shots: number;
  /** Rows of the data that could be asked about. */
  readonly available: number;
  readonly samples: readonly Sample[];
}

/** What lm-eval's results file holds, as far as it is about the tasks. */
export interface TaskResults {
  readonly results: Readonly<Record<string, Metrics>>;
  readonly groups?: Readonly<Record<string, Metrics>>;
  readonly group_subtasks: Readonly<Record<string, readonly string[]>>;
  readonly versions: Readonly<Record<string, number>>;
  readonly 'n-shot': Readonly<Record<string, number>>;
  readonly higher_is_better: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly 'n-samples': Readonly<Record<string, { readonly original: number; readonly effective: number }>>;
  readonly samples: Readonly<Record<string, readonly Sample[]>>;
}

export const respsOf = (answer: Answer): Sample['resps'] =>
  typeof answer === 'string' ? answer : answer.map(({ sum, greedy }) => [sum, greedy] as const);

/** Means, their standard errors, and those of groups, each question counting the same. */
export async function taskResults(
  runs: readonly TaskRun[],
  groups: readonly TaskGroup[],
  signal?: AbortSignal,
): Promise<TaskResults> {
  const named = <T>(value: (run: TaskRun) => T): Record<string, T> =>
    Object.fromEntries(runs.map((run) => [run.task.name, value(run)]));
  const results: Record<string, Metrics> = {};
  for (const run of runs) results[run.task.name] = await metricsOf(run, signal);
  const grouped = Object.fromEntries(
    groups.map((group) => [
      group.name,
      groupMetrics(
        group,
        leaves(group, groups).map((name) => results[name]),
      ),
    ]),
  );
  const shots = named((run) => run.shots);
  const better = named(({ samples: [sample] }) =>
    Object.fromEntries(Object.keys(sample.metrics).map((key) => [key.split(',')[0], !isPerplexity(key)])),
  );
  for (const group of groups) {
    const [first] = leaves(group, groups);
    shots[group.name] = shots[first];
    better[group.name] = better[first];
  }
  return {
    results: { ...results, ...grouped },
    ...(groups.length && { groups: grouped }),
    group_subtasks: Object.fromEntries(groups.map(({ name, members }) => [name, members])),
    versions: {
      ...named(({ task }) => task.version),
      ...Object.fromEntries(groups.map(({ name, version }) => [name, version])),
    },
    'n-shot': shots,
    higher_is_better: better,
    'n-samples': named(({ available, samples }) => ({ original: available, effective: samples.length })),
    samples: named(({ samples }) => samples),
  };
}

/** The tasks of a group, those of its groups included. */
export function leaves({ members }: TaskGroup, groups: readonly TaskGroup[]): readonly string[] {
  return members.flatMap((name) => {
    const group = groups.find((one) => one.name === name);
    return group ? leaves(group, groups) : [name];
  });
}

const errorKey = (key: string): string => key.replace(',', '_stderr,');

async function metricsOf({ task, samples }: TaskRun, signal?: AbortSignal): Promise<Metrics> {
  const metrics: Record<string, number | string> = {
    name: task.name,
    alias: task.title ?? task.name,
    sample_len: samples.length,
  };
  for (const key of Object.keys(samples[0].metrics)) {
    const values = samples.map((sample) => sample.metrics[key]);
    metrics[key] = isPerplexity(key) ? perplexity(values) : mean(values);
    const error =
      isPerplexity(key) && values.length > 1
        ? await bootstrapPerplexityError(values, undefined, signal)
        : standardError(values);
    metrics[errorKey(key)] = error ?? 'N/A';
  }
  return metrics;
}

/** The error of the whole is pooled from those of the tasks. */
function groupMetrics({ name, title }: TaskGroup, tasks: readonly Metrics[]): Metrics {
  const sizes = tasks.map((task) => task.sample_len as number);
  const size = sizes.reduce((sum, count) => sum + count, 0);
  const total = (value: (task: Metrics, i: number) => number): number =>
    tasks.reduce((sum, task, i) => sum + value(task, i), 0);
  const key = 'acc,none';
  const known = tasks.every((task) => task[errorKey(key)] !== 'N/A');
  const variance =
    total((task, i) => (sizes[i] - 1) * (task[errorKey(key)] as number) ** 2 * sizes[i]) / (size - tasks.length);
  return {
    name,
    alias: title ?? name,
    sample_len: size,
    [key]: total((task, i) => (task[key] as number) * sizes[i]) / size,
    [errorKey(key)]: known ? Math.sqrt(variance / size) : 'N/A',
  };
}
