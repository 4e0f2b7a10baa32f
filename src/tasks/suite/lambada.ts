import type { Task } from '../task.js';

/** LAMBADA (Paperno et al., 2016), as OpenAI prepared it: the last word of a passage. The answer brings its own space. */
export const lambada: Task = {
  name: 'lambada_openai',
  version: 1,
  dataset: 'EleutherAI/lambada_openai',
  folder: 'lambada',
  splits: { asked: 'test', examples: 'test' },
  scoring: { kind: 'continuation' },
  question: (row) => {
    const words = (row.has('text') ? row.text('text') : `${row.text('context')} ${row.text('continuation')}`).split(
      ' ',
    );
    return { prompt: words.slice(0, -1).join(' '), answer: ` ${words.at(-1)}`, gold: 0 };
  },
};
