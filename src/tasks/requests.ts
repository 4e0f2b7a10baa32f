import type { Tokenizer } from '../checkpoint/index.js';
import { UserError, shownValue } from '../engine/index.js';
import { strippedEnd } from '../text/index.js';
import type { Asked } from './fewShot.js';
import { choicesOf, type Scoring } from './task.js';

/** A text whose likelihood is asked for, and what stands before it. */
export interface TextRequest {
  readonly context: string;
  readonly continuation: string;
}

/** The same as tokens: from `from` on they are the continuation's. */
export interface TokenRequest {
  readonly tokens: readonly number[];
  readonly from: number;
}

/** One request for each choice. An answer brings the space before it where it is scored by itself. */
export const textRequests = ({ question, before }: Asked, { kind }: Scoring): TextRequest[] =>
  choicesOf(question).map(({ prompt, answer }) => ({
    context: before + prompt,
    continuation: kind === 'choice' ? ` ${answer}` : answer,
  }));

/** What lm-eval makes of texts: tokens, and of which kind the first is. */
export type TaskTokenizer = Pick<Tokenizer, 'encode' | 'bosId' | 'eosId' | 'bosToken' | 'eosToken'>;

/**
 * Tokens as lm-eval's `hf` model makes them. White space at the end of a context belongs to the continuation; both are
 * encoded as one text, and the continuation's tokens are those beyond as many as the context alone has. Special tokens are
 * added as the tokenizer adds them, unless the text begins with one. Without a context, BOS (else EOS) stands for it.
 * UserError where context or continuation has no token of its own.
 */
export function tokenRequest(tokenizer: TaskTokenizer, { context, continuation }: TextRequest): TokenRequest {
  if (context === '') {
    const tokens = tokenizer.encode(continuation);
    const prefix = tokenizer.bosId ?? tokenizer.eosId;
    if (prefix === undefined)
      throw new UserError('the tokenizer names no token to begin with (BOS or EOS)', {
        hint: 'set bos_token in tokenizer_config.json',
      });
    return tokens[0] === prefix ? { tokens, from: 1 } : { tokens: [prefix, ...tokens], from: 1 };
  }
  const addSpecialTokens = !beginsWithSpecial(tokenizer, context);
  const from = tokenizer.encode(strippedEnd(context), { addSpecialTokens }).length;
  const tokens = tokenizer.encode(context + continuation, { addSpecialTokens });
  if (from === 0 || from >= tokens.length)
    throw new UserError(
      `the tokenizer makes no token of ${from === 0 ? 'the context' : `the answer ${shownValue(continuation)}`} by itself, so the answer has no likelihood`,
      { hint: 'lm-eval scores no such question either: leave it out' },
    );
  return { tokens, from };
}

/** Tokens of a text that is to be continued. */
export const promptTokens = (tokenizer: TaskTokenizer, text: string): number[] =>
  tokenizer.encode(text, { addSpecialTokens: !beginsWithSpecial(tokenizer, text) });

function beginsWithSpecial({ bosToken, eosToken }: TaskTokenizer, text: string): boolean {
  const token = bosToken ?? eosToken;
  return token !== undefined && text.startsWith(token);
}
