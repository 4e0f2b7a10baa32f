import { createBatch, type Tensor } from '../engine/index.js';
import { host } from '../engine/hosts/index.js';
import { checkedTokens, isFiniteStream, notFinite, type Model, type Observer } from '../models/index.js';
import type { Progress } from '../progress/index.js';

export interface WalkOptions {
  readonly observer?: Observer;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/** Called with a row's last hidden states [T, D], which are freed when it returns. */
export type OnRow = (hidden: Tensor, row: number) => void | Promise<void>;

/**
 * Runs rows through the model one at a time, without a cache. Nothing is kept between rows, so memory does not grow with
 * their number. NotFiniteError where a row's stream is not finite in the end: what is not finite stays in it.
 */
export async function walkRows(
  model: Model,
  rows: readonly Int32Array[],
  { observer, onProgress, signal }: WalkOptions,
  onRow?: OnRow,
): Promise<void> {
  const checked = rows.map((row, index) => checkedTokens(model, row, `rows[${index}]`));
  for (const [index, row] of checked.entries()) {
    signal?.throwIfAborted();
    await model.engine.exclusive(async () => {
      const hidden = await model.forwardYielding(createBatch([row]), { observer, signal });
      if (!(await isFiniteStream(model, hidden))) throw await notFinite(model, row, 'the residual stream');
      await onRow?.(hidden, index);
    });
    onProgress?.(index + 1, rows.length, 'rows');
    await host.nextTurn(); // lets timers, signals and progress have their turn
  }
}
