import { UserError } from '../../engine/index.js';
import { stripped } from '../../text/index.js';
import type { Task } from '../task.js';

/** WinoGrande (Sakaguchi et al., 2020): whom a sentence is about. The choices differ before the text that is scored. */
export const winogrande: Task = {
  name: 'winogrande',
  version: 1,
  dataset: 'allenai/winogrande',
  part: 'winogrande_xl',
  splits: { asked: 'validation', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc'] },
  question: (row) => {
    if (row.has('context_options'))
      return { prompt: row.texts('context_options'), answer: row.text('continuation'), gold: row.index('gold', 2) };
    const sentence = row.text('sentence');
    const gap = sentence.indexOf('_');
    if (gap < 0) throw new UserError(`${row.place}: there is no _ in the field sentence, where the options go`);
    return {
      prompt: [row.text('option1'), row.text('option2')].map((option) => sentence.slice(0, gap) + option),
      answer: stripped(sentence.slice(gap + 1)),
      gold: row.placeAmong('answer', ['1', '2']),
    };
  },
};
