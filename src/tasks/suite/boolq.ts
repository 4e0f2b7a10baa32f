import type { Task } from '../task.js';

/** BoolQ (Clark et al., 2019): yes or no, by a passage. */
export const boolq: Task = {
  name: 'boolq',
  version: 2,
  dataset: 'aps/super_glue',
  part: 'boolq',
  splits: { asked: 'validation', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc'] },
  question: (row) =>
    row.has('query')
      ? {
          prompt: `${row.text('query').replace(/^Passage: /, '')}\nAnswer:`,
          answer: ['no', 'yes'],
          gold: row.index('gold', 2),
        }
      : {
          prompt: `${row.text('passage')}\nQuestion: ${row.text('question')}?\nAnswer:`,
          answer: ['no', 'yes'],
          gold: row.index('label', 2),
        },
};
