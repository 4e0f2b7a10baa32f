import { UserError } from '../engine/index.js';

/** Rows that overlap, and how many of each one's last tokens are new. */
export interface StridedWindows {
  readonly rows: readonly Int32Array[];
  readonly counted: readonly number[];
}

/**
 * Windows of `length` tokens over a text's rows, joined: each begins `stride` tokens after the one before, and counts the
 * tokens that none before it has counted, so that all but those of the first window have a context of at least
 * `length - stride`. As the example of transformers for perplexity has them: the last window may be shorter. UserError for
 * a stride longer than a window.
 */
export function stridedWindows(text: readonly Int32Array[], length: number, stride: number): StridedWindows {
  if (stride > length)
    throw new UserError(
      `\`stride\` must be at most the ${length} tokens of a row, found ${stride}: it would leave tokens out`,
    );
  const tokens = Int32Array.from(text.flatMap((row) => [...row]));
  const rows: Int32Array[] = [];
  const counted: number[] = [];
  let end = 1;
  for (let begin = 0; end < tokens.length; begin += stride) {
    const row = tokens.slice(begin, begin + length);
    // A row's first token is predicted by none: with a stride of the length, those go uncounted.
    const fresh = Math.min(begin + row.length - end, row.length - 1);
    if (fresh > 0) {
      rows.push(row);
      counted.push(fresh);
    }
    end = begin + row.length;
  }
  return { rows, counted };
}
