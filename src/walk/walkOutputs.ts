import { host } from '../engine/hosts/index.js';
import { memoryNeeds, type Model } from '../models/index.js';
import { streamRows } from './streamRows.js';
import { statesBeside } from './waitingStates.js';
import { walkRows, type OnRow, type WalkOptions } from './walk.js';

export interface OutputOptions extends Omit<WalkOptions, 'observer'> {
  /** Bytes that the process may take, where layers are streamed. @defaultValue 80% of the machine's */
  readonly maxMemory?: number;
}

/**
 * Runs rows to their last hidden states, for logits and losses: those of a loaded model one after the other, as
 * `walkRows` does; else all of them through one layer after the other, read from the disk, and then `onRow` has the
 * output projection alone in memory. The numbers are the same.
 */
export async function walkOutputs(
  model: Model,
  rows: readonly Int32Array[],
  options: OutputOptions,
  onRow: OnRow,
): Promise<void> {
  if (model.isLoaded) return walkRows(model, rows, options, onRow);
  const { maxMemory, signal, onProgress } = options;
  const { engine, config, layers } = model;
  const { layer, output } = memoryNeeds(model, 1);
  // What enters a layer, and what leaves it.
  using states = statesBeside(model, rows, { maxMemory, loaded: Math.max(layer, output), streams: 2 });
  await streamRows(model, rows, {
    ...{ states, last: true, signal },
    onProgress: (done, total) => onProgress?.(Math.floor((done * rows.length) / total), rows.length, 'rows'),
  });
  await model.loadOutput();
  try {
    for (const [index, row] of rows.entries()) {
      signal?.throwIfAborted();
      await engine.exclusive(async () => {
        const hidden = engine.tensor(states.read(layers.length, index), [row.length, config.hiddenSize]);
        await onRow(hidden, index);
      });
      await host.nextTurn(); // as in `walkRows`
    }
  } finally {
    model.unload();
  }
}
