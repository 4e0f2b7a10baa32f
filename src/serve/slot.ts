import { sharedLength } from '../models/index.js';
import type { Sequence } from './sequence.js';
import type { TokenScore } from './tokenScores.js';

/** A row of the key-value cache: the tokens that it holds, and the sequence that it works for. */
export class Slot {
  /** Tokens whose keys and values are there, also after their sequence has ended. */
  readonly tokens: number[] = [];
  /** What is known of each of them, for texts that begin alike and ask for the same. */
  readonly scores: (TokenScore | undefined)[] = [];
  sequence?: Sequence;
  /** When it was last taken, as a count. */
  usedAt = 0;

  constructor(readonly index: number) {}

  /** Forgets all tokens but the first `length`. */
  truncate(length: number): void {
    this.tokens.length = Math.min(length, this.tokens.length);
    this.scores.length = Math.min(length, this.scores.length);
  }

  /** Works for a sequence from now on, which goes on after the first `reused` tokens. */
  take(sequence: Sequence, reused: number): void {
    const { scorePrompt, top = 0 } = sequence.request;
    const known = scorePrompt ? this.scores.slice(0, reused + 1) : [];
    this.truncate(reused);
    this.scores.push(...known.slice(reused));
    this.sequence = sequence;
    sequence.reused = reused;
    // An earlier text may have asked for more.
    sequence.promptScores.push(...known.map((score) => score && { ...score, top: score.top.slice(0, top) }));
  }

  /**
   * How many of a sequence's tokens need not run here; two must, where there are two (`planStep`), for the logits behind
   * the last. To score a prompt, the last token in common runs again, since another follows it, and so does what is not
   * known yet.
   */
  reusable({ request: { scorePrompt, top = 0 }, text }: Sequence): number {
    const shared = Math.min(sharedLength(this.tokens, text), Math.max(0, text.length - 2));
    if (!scorePrompt) return shared;
    const known = (score: TokenScore | undefined): boolean => score !== undefined && score.top.length >= top;
    const unknown = this.scores.findIndex((score, i) => i > 0 && !known(score));
    return Math.max(0, Math.min(shared, unknown < 0 ? this.scores.length : unknown) - 1);
  }
}
