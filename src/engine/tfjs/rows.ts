import type { Tensor, Tf } from './load.js';

/** Runs of rows that are sliced rather than gathered: an operation each, but no indices to send. */
const mostSlices = 32;

/**
 * Rows of a table [rows, width] by index. Never `tf.gather`, which first reads the indices back to check them. The
 * JavaScript backend reads the table back for `gatherND` too, so there any number of rows is sliced; WebAssembly's
 * copies the whole table for a slice, so there none is.
 */
export function rowsAt(tf: Tf, table: Tensor, indices: Int32Array): Tensor {
  const width = table.shape[1]!;
  if (indices.length === 0) return tf.zeros([0, width]);
  const runs = consecutive(indices);
  const slices = { cpu: Infinity, wasm: 0 }[tf.getBackend()] ?? mostSlices;
  if (runs.length > slices) return tf.gatherND(table, tf.tensor2d(indices.slice(), [indices.length, 1], 'int32'));
  return tf.concat(
    runs.map(({ first, count }) => tf.slice(table, [first, 0], [count, width])),
    0,
  );
}

/** Indices as runs that count up by one: positions are one run a sequence, tokens mostly one each. */
function consecutive(indices: Int32Array): { first: number; count: number }[] {
  const runs: { first: number; count: number }[] = [];
  for (const index of indices) {
    const last = runs.at(-1);
    if (last && index === last.first + last.count) last.count++;
    else runs.push({ first: index, count: 1 });
  }
  return runs;
}
