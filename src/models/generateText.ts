import { TextStream, type Tokenizer } from '../checkpoint/index.js';
import { generate, type GenerateOptions, type Generation } from './generate.js';
import type { Model } from './model.js';

export interface GenerateTextOptions extends Omit<GenerateOptions, 'onToken' | 'stopTokens'> {
  /** Called with each piece of text as it comes; empty where a token ends in the midst of a character. */
  readonly onText?: (piece: string) => void;
  /** Tokens that end the text besides those of the tokenizer and the config. */
  readonly alsoStop?: readonly number[];
}

export interface GeneratedText extends Generation {
  /** Of the tokens, special ones left out. */
  readonly text: string;
}

/** Tokens that end a text, by the tokenizer and by the config. */
export const stopTokensOf = (
  { config }: Pick<Model, 'config'>,
  { stopIds }: Pick<Tokenizer, 'stopIds'>,
): ReadonlySet<number> => new Set([...stopIds, ...config.eosTokenIds]);

/** Continues a prompt of at least one token as text. Errors as for `generate`. */
export async function generateText(
  { model, tokenizer }: { readonly model: Model; readonly tokenizer: Tokenizer },
  prompt: readonly number[],
  { onText, alsoStop = [], ...options }: GenerateTextOptions = {},
): Promise<GeneratedText> {
  const pieces = new TextStream(tokenizer, prompt);
  let text = '';
  const tell = (piece: string): void => {
    text += piece;
    onText?.(piece);
  };
  const generation = await generate(model, prompt, {
    ...options,
    stopTokens: [...stopTokensOf(model, tokenizer), ...alsoStop],
    onToken: (token) => tell(pieces.push(token)),
  });
  tell(pieces.end());
  return { ...generation, text };
}
