/** Products with weights that lie in panels of 16 rows. */
import { pack } from '../kernels/pack.js';
import { int4PanelRows } from '../layouts/int4/int4Panels.js';
import type { Machine } from '../runtime/machine.js';
import { endUnit, firstUnit, plus, type Argument, type Call, type Task } from '../runtime/task.js';

/** Rows of a panel, which are columns of a result: of int4 and of int8 weights. */
export const panelColumns = int4PanelRows;

/** Bytes of a panel's columns of a row of results. */
const panelBytes = 4 * panelColumns;

/** Rows `rowStride` bytes apart at `c` and panels [from, to) of a weight that are computed for them. */
export type Where = readonly [c: Argument, rowStride: number, from: Argument, to: Argument];

/** Tasks for `rows` rows of a product with all panels of a weight; `work` is the work of one panel. */
export function panelTasks(
  machine: Machine,
  right: { readonly address: number; readonly rows: number; readonly stride: number },
  rows: number,
  c: number,
  rowStride: number,
  work: number,
  calls: (...where: Where) => Call[],
): Task[] {
  const full = Math.floor(right.rows / panelColumns);
  const columns = right.rows % panelColumns;
  const tasks: Task[] = [];
  if (full > 0)
    tasks.push({
      units: full,
      chunk: machine.chunkOf(full, 1),
      work: full * work,
      weights: { address: right.address, bytes: full * right.stride },
      calls: calls(c, rowStride, firstUnit, endUnit),
    });
  if (columns === 0) return tasks;
  // The last panel is not full: written to the result, it would reach into the next row. It goes to scratch, and its
  // columns are copied.
  const { stripe } = machine.scratch;
  const copy = machine.calls(pack).copyColumns({
    source: stripe,
    target: c + panelBytes * full,
    rows,
    columns,
    sourceStride: panelBytes,
    targetStride: rowStride,
  });
  const beside = calls(plus(stripe, -panelBytes * full), panelBytes, full, full + 1);
  tasks.push({ units: 1, chunk: 1, work, calls: [...beside, copy] });
  return tasks;
}
