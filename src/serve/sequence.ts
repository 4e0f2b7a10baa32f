import type { Sampler } from '../models/index.js';
import type { TokenScore } from './tokenScores.js';

/** A text that a scheduler is to continue, to score, or both. */
export interface SequenceRequest {
  /** At least one token. */
  readonly prompt: readonly number[];
  /** Tokens to make at most; 0 where only the prompt is to be scored. */
  readonly maxTokens: number;
  /** The text ends before one of these. */
  readonly stopTokens: ReadonlySet<number>;
  /** undefined: the likeliest token. */
  readonly sample?: Sampler;
  /** Tell of each new token how likely it was, beside this many of the likeliest. */
  readonly top?: number;
  /** The same for the tokens of the prompt. */
  readonly scorePrompt?: boolean;
  /** Ends the sequence, and frees its slot before the next step. */
  readonly signal?: AbortSignal;
  /** Called with each token as it comes, the one that ends the text too. */
  readonly onToken?: (token: ChosenToken) => void;
}

export interface ChosenToken {
  readonly token: number;
  readonly score?: TokenScore;
  /** Whether it is a stop token, which is no part of the text. */
  readonly ends: boolean;
}

export interface SequenceResult {
  /** Those chosen, the one that ended the text too. */
  readonly tokens: readonly ChosenToken[];
  readonly stoppedBy: 'stop token' | 'length' | 'signal';
  /** Of the prompt's tokens, the first without one; empty unless asked for. */
  readonly promptScores: readonly (TokenScore | undefined)[];
  /** Tokens of the prompt whose keys and values were there. */
  readonly reused: number;
}

/** A request under way: its text so far, and what came of it. */
export class Sequence {
  /** The prompt, and the tokens made since. */
  readonly text: number[];
  readonly made: ChosenToken[] = [];
  readonly promptScores: (TokenScore | undefined)[] = [];
  readonly result: Promise<SequenceResult>;
  /** How often others that came later were taken in before it. */
  passedOver = 0;
  reused = 0;
  isDone = false;
  #settle!: { resolve(result: SequenceResult): void; reject(error: unknown): void };

  constructor(readonly request: SequenceRequest) {
    this.text = [...request.prompt];
    this.result = new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  /** Tokens that it may still make. */
  get tokensLeft(): number {
    return this.request.maxTokens - this.made.length;
  }

  get isCancelled(): boolean {
    return this.request.signal?.aborted === true;
  }

  /** Takes the token that follows the text, and ends where that is the last. */
  add(chosen: ChosenToken): void {
    this.made.push(chosen);
    if (!chosen.ends) this.text.push(chosen.token);
    try {
      this.request.onToken?.(chosen);
    } catch (error) {
      return this.fail(error);
    }
    if (chosen.ends) this.end('stop token');
    else if (this.tokensLeft <= 0) this.end('length');
  }

  end(stoppedBy: SequenceResult['stoppedBy']): void {
    this.isDone = true;
    const { made: tokens, promptScores, reused } = this;
    this.#settle.resolve({ tokens, stoppedBy, promptScores, reused });
  }

  fail(error: unknown): void {
    this.isDone = true;
    this.#settle.reject(error);
  }
}
