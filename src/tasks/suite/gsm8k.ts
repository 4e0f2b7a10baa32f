import { stripped } from '../../text/index.js';
import type { Task } from '../task.js';

/** GSM8K (Cobbe et al., 2021): what a word problem of school mathematics comes to, at the end of a text that is generated. */
export const gsm8k: Task = {
  name: 'gsm8k',
  version: 3,
  dataset: 'openai/gsm8k',
  part: 'main',
  splits: { asked: 'test', examples: 'train' },
  shots: 5,
  scoring: {
    kind: 'generation',
    until: ['Question:', '</s>', '<|im_end|>'],
    most: 256,
    filters: {
      'strict-match': (said) => taken(/#### (-?[0-9.,]+)/.exec(said)?.[1]),
      'flexible-extract': (said) => taken(said.match(/-?[$0-9.,]{2,}|-?[0-9]+/g)?.at(-1)),
    },
    compared: (text) =>
      text
        .replaceAll(/,|\$/g, '')
        .replace(/^.*#### /s, '')
        .replace(/\.(?=\n?$)/, '')
        .toLowerCase(),
  },
  question: (row) => ({ prompt: `Question: ${row.text('question')}\nAnswer:`, answer: row.text('answer'), gold: 0 }),
};

/** What lm-eval compares where nothing is found equals no answer. */
const taken = (found: string | undefined): string => (found === undefined ? '[invalid]' : stripped(found));
