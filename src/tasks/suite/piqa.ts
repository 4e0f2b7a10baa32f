import type { Task } from '../task.js';

/** PIQA (Bisk et al., 2020): which of two ways to do something works. */
export const piqa: Task = {
  name: 'piqa',
  version: 1,
  dataset: 'baber/piqa',
  splits: { asked: 'validation', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc', 'acc_norm'] },
  question: (row) =>
    row.has('query')
      ? { prompt: `${row.text('query')}Answer:`, answer: row.texts('choices'), gold: row.index('gold', 2) }
      : {
          prompt: `Question: ${row.text('goal')}\nAnswer:`,
          answer: [row.text('sol1'), row.text('sol2')],
          gold: row.index('label', 2),
        },
};
