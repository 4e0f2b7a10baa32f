import type { Task } from '../task.js';

/** ARC (Clark et al., 2018): questions of school exams in science. */
const arc = (name: string, part: string): Task => ({
  name,
  version: 1,
  dataset: 'allenai/ai2_arc',
  part,
  splits: { asked: 'test', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc', 'acc_norm'] },
  question: (row) => {
    if (row.has('query')) {
      const answer = row.texts('choices');
      return { prompt: `${row.text('query')}\nAnswer:`, answer, gold: row.index('gold', answer.length) };
    }
    const choices = row.row('choices');
    return {
      prompt: `Question: ${row.text('question')}\nAnswer:`,
      answer: choices.texts('text'),
      gold: row.placeAmong('answerKey', choices.texts('label')),
    };
  },
});

export const arcEasy = arc('arc_easy', 'ARC-Easy');
export const arcChallenge = arc('arc_challenge', 'ARC-Challenge');
