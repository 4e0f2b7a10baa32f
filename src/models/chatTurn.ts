import { turnEnd, type ChatMessage, type ChatTemplateOptions, type Tokenizer } from '../checkpoint/index.js';
import { generateText, type GeneratedText, type GenerateTextOptions } from './generateText.js';
import type { Model } from './model.js';

export interface ChatTurnOptions extends Omit<GenerateTextOptions, 'alsoStop'>, Pick<ChatTemplateOptions, 'template'> {}

/** The tokens of a chat whose last message asks; the template writes the special ones, a BOS too where the model wants one. */
export const chatPrompt = (
  tokenizer: Tokenizer,
  messages: readonly ChatMessage[],
  template: ChatTemplateOptions['template'],
): number[] => tokenizer.encode(tokenizer.applyChatTemplate(messages, { addGenerationPrompt: true, template }));

/**
 * Answers a chat whose last message asks: the tokenizer's chat template makes a text of it, and the answer ends where the
 * template would end it. A `TokenCache` keeps what earlier turns computed. UserError where there is no template, or where
 * it refuses the chat; errors as for `generate`.
 */
export function chatTurn(
  speaker: { readonly model: Model; readonly tokenizer: Tokenizer },
  messages: readonly ChatMessage[],
  { template, ...options }: ChatTurnOptions = {},
): Promise<GeneratedText> {
  const { tokenizer } = speaker;
  const prompt = chatPrompt(tokenizer, messages, template);
  const end = turnEnd(tokenizer, { template });
  return generateText(speaker, prompt, { ...options, alsoStop: end === undefined ? [] : [end] });
}
