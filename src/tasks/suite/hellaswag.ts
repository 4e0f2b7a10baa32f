import { stripped } from '../../text/index.js';
import type { Task } from '../task.js';

/** HellaSwag (Zellers et al., 2019): which of four sentences goes on with a scene. */
export const hellaswag: Task = {
  name: 'hellaswag',
  version: 1,
  dataset: 'Rowan/hellaswag',
  splits: { asked: 'validation', examples: 'train' },
  scoring: { kind: 'choice', metrics: ['acc', 'acc_norm'] },
  question: (row) => {
    const answer = row.texts('endings').map(cleaned);
    const scene = `${row.text('ctx_a')} ${capitalized(row.text('ctx_b'))}`;
    return {
      prompt: cleaned(`${row.text('activity_label')}: ${scene}`),
      answer,
      gold: row.index('label', answer.length),
    };
  },
};

/** Marks of WikiHow's pages go; a double space becomes one, once. */
const cleaned = (text: string): string =>
  stripped(text)
    .replaceAll(' [title]', '. ')
    .replace(/\[[^\n]*?\]/g, '')
    .replaceAll('  ', ' ');

/** As Python's `str.capitalize`: the first letter large, all others small. */
function capitalized(text: string): string {
  const [first = '', ...rest] = text;
  const [large = '', ...small] = first.toUpperCase();
  return large + (small.join('') + rest.join('')).toLowerCase();
}
