import type { Tensor } from '../engine/index.js';
import type { Model } from '../models/index.js';
import { walkRows, type OnRow, type WalkOptions } from './walk.js';

/**
 * The last hidden states of rows, kept in the backend's memory (4 x hidden size bytes a token) to compare other models
 * with, again and again.
 */
export class KeptOutputs implements Disposable {
  private constructor(
    /** [T, D] of each row. */
    readonly outputs: readonly Tensor[],
  ) {}

  /** As `walkRows`, of the model under its present skip flags. */
  static async of(
    model: Model,
    rows: readonly Int32Array[],
    options: WalkOptions,
    onRow?: OnRow,
  ): Promise<KeptOutputs> {
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
