/** Consecutive tokens of one sequence within a batch. */
export interface Sequence {
  /** Which row of the key-value cache it owns. */
  readonly slot: number;
  /** How many of its tokens came before (0 without a cache). */
  readonly start: number;
  /** How many of the batch's tokens are its own; sequences lie one after another. */
  readonly length: number;
}

/** Tokens of several sequences, of any lengths, in one pass. */
export interface Batch {
  /** [T] token ids, all sequences one after another. */
  readonly tokens: Int32Array;
  /** [T] positions for the rotary embedding. */
  readonly positions: Int32Array;
  readonly sequences: readonly Sequence[];
}

/** A batch of whole sequences, or of their continuations at `starts`, in slots 0, 1, ... */
export function createBatch(
  sequences: readonly ArrayLike<number>[],
  starts: readonly number[] = sequences.map(() => 0),
  slots: readonly number[] = sequences.map((_, index) => index),
): Batch {
  const spans = sequences.map(({ length }, index) => ({ slot: slots[index], start: starts[index], length }));
  return {
    tokens: Int32Array.from(sequences.flatMap((tokens) => Array.from(tokens))),
    positions: Int32Array.from(spans.flatMap(({ start, length }) => Array.from({ length }, (_, i) => start + i))),
    sequences: spans,
  };
}
