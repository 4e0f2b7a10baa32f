import type { Task, TaskGroup } from '../task.js';
import { arcChallenge, arcEasy } from './arc.js';
import { boolq } from './boolq.js';
import { gsm8k } from './gsm8k.js';
import { hellaswag } from './hellaswag.js';
import { lambada } from './lambada.js';
import { mmluGroups, mmluSubjects } from './mmlu.js';
import { openbookqa } from './openbookqa.js';
import { piqa } from './piqa.js';
import { rte } from './rte.js';
import { winogrande } from './winogrande.js';

/** All tasks; one more is one file, and its name here (docs/add-a-task.md). */
export const tasks: readonly Task[] = [
  arcEasy,
  arcChallenge,
  hellaswag,
  piqa,
  winogrande,
  boolq,
  openbookqa,
  rte,
  ...mmluSubjects,
  gsm8k,
  lambada,
];

export const groups: readonly TaskGroup[] = [...mmluGroups];
