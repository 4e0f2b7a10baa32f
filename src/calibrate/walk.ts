import { setImmediate } from 'node:timers/promises';
import { createBatch, type Tensor } from '../engine/index.js';
import type { Model, Observer } from '../models/index.js';

/** Told after each row: how many are done. */
export type Progress = (done: number, total: number, unit: string) => void;

export interface WalkOptions {
  readonly observer?: Observer;
  readonly onProgress?: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Runs rows through the model one at a time, without a cache, and hands each row's last hidden states [T, D] to
 * `onRow`. Nothing is kept between rows, so memory does not grow with their number.
 */
export async function walkRows(
  model: Model,
  rows: readonly Int32Array[],
  { observer, onProgress, signal }: WalkOptions,
  onRow?: (hidden: Tensor, row: number) => void | Promise<void>,
): Promise<void> {
  for (const [index, row] of rows.entries()) {
    signal?.throwIfAborted();
    await model.engine.exclusive(async () => {
      const hidden = await model.forwardYielding(createBatch([row]), { observer, signal });
      await onRow?.(hidden, index);
    });
    onProgress?.(index + 1, rows.length, 'rows');
    await setImmediate(); // lets timers, signals and progress have their turn
  }
}

/** Last hidden states of rows, 4 x hidden size bytes a token in the backend's memory: for whoever is held against them often. */
export class KeptOutputs implements Disposable {
  private constructor(
    /** [T, D] of each row. */
    readonly outputs: readonly Tensor[],
  ) {}

  /** As `walkRows`, of the model under its present skip flags. */
  static async of(...[model, rows, options, onRow]: Parameters<typeof walkRows>): Promise<KeptOutputs> {
    const outputs: Tensor[] = [];
    const kept = new KeptOutputs(outputs);
    try {
      await walkRows(model, rows, options, async (hidden, row) => {
        outputs.push(hidden.detach());
        await onRow?.(hidden, row);
      });
    } catch (error) {
      kept.dispose();
      throw error;
    }
    return kept;
  }

  dispose(): void {
    for (const output of this.outputs) output.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
