import { UserError } from './errors.js';
import { refuse, whole } from './given.js';

/** Consecutive tokens of one sequence within a batch. */
export interface Sequence {
  /** Which row of the key-value cache it owns. */
  readonly slot: number;
  /** How many of its tokens came before (0 without a cache). */
  readonly start: number;
  /**
   * How many of the batch's tokens are its own; sequences lie one after another. Its results are the same to the last bit
   * whatever else is in the batch, and wherever a text is cut into two tokens or more at a time. A single token behind a
   * cache is computed as in decoding, where sums may go in another order.
   */
  readonly length: number;
}

/** Tokens of several sequences, of any lengths, in one pass. */
export interface Batch {
  /** [T] token ids, all sequences one after another. */
  readonly tokens: Int32Array;
  /** [T] positions for the rotary embedding. */
  readonly positions: Int32Array;
  readonly sequences: readonly Sequence[];
  /**
   * Rows behind those of the tokens that belong to no sequence, and whose results mean nothing: recorded passes have few
   * sizes.
   * @defaultValue 0
   */
  readonly padding?: number;
}

const count = whole(0, 2 ** 31 - 1);

/** Token ids as int32. UserError for what is no id, such as 1.5, -1 or 'x'. */
export function tokenIds(tokens: ArrayLike<number>, name = 'tokens'): Int32Array {
  if (tokens instanceof Int32Array) return tokens;
  const ids = Array.from(tokens);
  const bad = ids.findIndex((id) => (id | 0) !== id || id < 0);
  if (bad >= 0) refuse(`${name}[${bad}]`, 'a token id, a whole number of at least 0', ids[bad]);
  return Int32Array.from(ids);
}

/** A batch of whole sequences, or of their continuations at `starts`, in slots 0, 1, ... UserError for what is no token id. */
export function createBatch(
  sequences: readonly ArrayLike<number>[],
  starts: readonly number[] = sequences.map(() => 0),
  slots: readonly number[] = sequences.map((_, index) => index),
): Batch {
  const spans = sequences.map(({ length }, index) => ({
    slot: count(slots[index], `slots[${index}]`),
    start: count(starts[index], `starts[${index}]`),
    length,
  }));
  return {
    tokens: Int32Array.from(sequences.flatMap((tokens) => Array.from(tokenIds(tokens)))),
    positions: Int32Array.from(spans.flatMap(({ start, length }) => Array.from({ length }, (_, i) => start + i))),
    sequences: spans,
  };
}

/**
 * The tokens of a sequence whose queries q holds. q has `rows` rows for the whole batch: one for each token, or one for
 * each sequence's last token.
 */
export const asking = ({ tokens }: Batch, sequence: Sequence, rows: number): Sequence =>
  rows < tokens.length ? { ...sequence, start: sequence.start + sequence.length - 1, length: 1 } : sequence;

/** Rows of a pass over a batch. */
export const rowsOf = ({ tokens, padding = 0 }: Batch): number => tokens.length + padding;

/** The row of each sequence's last token in the batch. */
export function lastRows({ sequences }: Batch): Int32Array {
  if (sequences.some(({ length }) => length === 0)) throw new UserError('a sequence without a token has no last one');
  let end = 0;
  return Int32Array.from(sequences, ({ length }) => (end += length) - 1);
}
