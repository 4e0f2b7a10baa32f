import { UserError, didYouMean, shownNames, shownValue } from '../engine/index.js';
import { groups, tasks } from './suite/index.js';
import type { Task, TaskGroup } from './task.js';

/** Tasks that are to run, each once, and the groups whose members all are. */
export interface ChosenTasks {
  readonly tasks: readonly Task[];
  readonly groups: readonly TaskGroup[];
}

/** Short names that people use. */
const shortNames: Readonly<Record<string, string>> = { lambada: 'lambada_openai' };

/** The tasks and groups of these names. UserError for one that is not known. */
export function chosenTasks(names: readonly string[]): ChosenTasks {
  const chosen = new Set<Task>();
  const whole = new Set<TaskGroup>();
  const add = (name: string): void => {
    const task = tasks.find((one) => one.name === name);
    const group = groups.find((one) => one.name === name);
    if (task) chosen.add(task);
    else if (group) {
      whole.add(group);
      group.members.forEach(add);
    } else throw unknown(name);
  };
  for (const name of names) add(shortNames[name] ?? name);
  return { tasks: [...chosen], groups: [...whole] };
}

/** What is not part of something larger; the subjects and the areas of MMLU may be named as well. */
export const taskNames: readonly string[] = [...tasks, ...groups]
  .map(({ name }) => name)
  .filter((name) => groups.every(({ members }) => !members.includes(name)));

function unknown(name: string): UserError {
  const known = [...tasks.map((task) => task.name), ...groups.map((group) => group.name)];
  return new UserError(`there is no task ${shownValue(name)}: known are ${shownNames(taskNames)}`, {
    hint: didYouMean(name, known),
  });
}
