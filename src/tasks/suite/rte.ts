import type { Task } from '../task.js';

/** RTE (Dagan et al., 2005, and later): whether a text entails a sentence, as GLUE has it; SuperGLUE names the fields otherwise. */
export const rte: Task = {
  name: 'rte',
  version: 1,
  dataset: 'nyu-mll/glue',
  part: 'rte',
  splits: { asked: 'validation', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc'] },
  question: (row) => {
    const [given, claim] = row.has('premise') ? ['premise', 'hypothesis'] : ['sentence1', 'sentence2'];
    return {
      prompt: `${row.text(given)}\nQuestion: ${row.text(claim)} True or False?\nAnswer:`,
      answer: ['True', 'False'],
      gold: row.label('label', ['entailment', 'not_entailment']),
    };
  },
};
