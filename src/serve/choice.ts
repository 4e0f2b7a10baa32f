import { TextStream } from '../checkpoint/index.js';
import { createSampler } from '../models/index.js';
import type { SamplingFields } from './fields.js';
import type { ChosenToken, SequenceResult } from './sequence.js';
import { StopText } from './stopText.js';
import { codePoints } from './tokenTexts.js';
import type { Served } from './variant.js';

export interface ChoiceRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly sampling: SamplingFields;
  readonly stopTokens: ReadonlySet<number>;
  /** The text ends before one of these. */
  readonly stopTexts: readonly string[];
  readonly top?: number;
  readonly scorePrompt?: boolean;
  /** Ends the work; the choice then rejects with its reason. */
  readonly signal: AbortSignal;
  /** Called with each token and the text that it makes certain, and with what is left at the end. */
  readonly onPiece?: (piece: Piece) => void;
}

/** What one token brings. */
export interface Piece {
  /** Empty while a character, or what may be a stop text, is incomplete. */
  readonly text: string;
  /** None at the end, for the text that was held back. */
  readonly token?: ChosenToken;
  /** Where the token's own text begins, in code points of the new text. */
  readonly offset: number;
}

/** One continuation of a prompt. */
export interface Choice extends Omit<SequenceResult, 'tokens' | 'stoppedBy'> {
  readonly text: string;
  readonly finish: 'stop' | 'length';
  readonly pieces: readonly Piece[];
  /** Tokens of the text. */
  readonly length: number;
}

/** Continues a prompt once. Errors as of `Scheduler.run`. */
export async function runChoice({ tokenizer, scheduler }: Served, request: ChoiceRequest): Promise<Choice> {
  const { prompt, sampling, signal, onPiece } = request;
  const stream = new TextStream(tokenizer, prompt);
  const stop = new StopText(request.stopTexts);
  const stopped = new AbortController();
  const pieces: Piece[] = [];
  let text = '';
  let offset = 0;
  const add = (decoded: string, token?: ChosenToken): void => {
    const piece = { text: stop.push(decoded) + (token ? '' : stop.end()), token, offset };
    text += piece.text;
    offset += codePoints(decoded);
    pieces.push(piece);
    onPiece?.(piece);
    if (stop.isStopped) stopped.abort();
  };
  const { stoppedBy, ...result } = await scheduler.run({
    ...{ prompt, maxTokens: request.maxTokens, stopTokens: request.stopTokens },
    ...{ top: request.top, scorePrompt: request.scorePrompt },
    sample: sampling.temperature === 0 ? undefined : createSampler(sampling),
    signal: AbortSignal.any([signal, stopped.signal]),
    onToken: (token) => add(token.ends ? '' : stream.push(token.token), token),
  });
  if (!stop.isStopped) {
    signal.throwIfAborted();
    add(stream.end());
  }
  return {
    ...{ text, promptScores: result.promptScores, reused: result.reused },
    finish: stop.isStopped || stoppedBy === 'stop token' ? 'stop' : 'length',
    // Tokens that only make up the stop text are no part of the answer.
    pieces: stop.isStopped ? pieces.filter((piece) => piece.offset < codePoints(text)) : pieces,
    length: result.tokens.filter(({ ends }) => !ends).length,
  };
}

/** Each of several choices has its own seed; without one, it is drawn. */
export function seeded(sampling: SamplingFields, index: number): SamplingFields {
  const { seed = Math.floor(Math.random() * 2 ** 32) } = sampling;
  return { ...sampling, seed: (seed + index) % 2 ** 32 };
}
