import { UserError } from '../../engine/index.js';
import type { ChatTemplateOptions } from './chatTemplate.js';
import type { Tokenizer } from './tokenizer.js';

/** The special token that a chat template writes behind an answer: the configs of some models do not count it among those that end a text. */
export function turnEnd(
  tokenizer: Pick<Tokenizer, 'applyChatTemplate' | 'decode' | 'encode'>,
  o: Pick<ChatTemplateOptions, 'template'> = {},
): number | undefined {
  const answer = 'An answer.';
  const text = chatText(tokenizer, answer, o);
  if (!text.includes(answer)) return undefined;
  const [id] = tokenizer.encode(text.slice(text.lastIndexOf(answer) + answer.length).trimStart());
  if (id === undefined) return undefined;
  const isSpecial = tokenizer.decode([id]) !== '' && tokenizer.decode([id], { skipSpecialTokens: true }) === '';
  return isSpecial ? id : undefined;
}

/** Empty where the template does not want such a chat. */
function chatText(
  tokenizer: Pick<Tokenizer, 'applyChatTemplate'>,
  answer: string,
  { template }: Pick<ChatTemplateOptions, 'template'>,
): string {
  const chat = [
    { role: 'user', content: 'A question.' },
    { role: 'assistant', content: answer },
  ];
  try {
    return tokenizer.applyChatTemplate(chat, { template });
  } catch (error) {
    if (error instanceof UserError) return '';
    throw error;
  }
}
