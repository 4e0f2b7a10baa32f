import type { Task } from '../task.js';

/** OpenBookQA (Mihaylov et al., 2018): how a sentence about elementary science goes on. */
export const openbookqa: Task = {
  name: 'openbookqa',
  version: 1,
  dataset: 'allenai/openbookqa',
  part: 'main',
  splits: { asked: 'test', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc', 'acc_norm'] },
  question: (row) => {
    if (row.has('query')) {
      const answer = row.texts('choices');
      return { prompt: row.text('query'), answer, gold: row.index('gold', answer.length) };
    }
    const choices = row.row('choices');
    return {
      prompt: row.text('question_stem'),
      answer: choices.texts('text'),
      gold: row.placeAmong('answerKey', choices.texts('label')),
    };
  },
};
