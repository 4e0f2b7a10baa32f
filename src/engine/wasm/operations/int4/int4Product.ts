import { int4Exact } from '../../kernels/int4/int4Exact.js';
import { int4Gemm, int4GemmMinima } from '../../kernels/int4/int4Gemm.js';
import { nibbleForm, wordsOf } from '../../kernels/int4/nibbleDots.js';
import { quantizeModule } from '../../kernels/quantizeRows.js';
import { blockWidth, int4PanelRows, type Int4Panels } from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import { partOf } from '../../layouts/tilePlan.js';
import type { Machine } from '../../runtime/machine.js';
import type { Call, Task } from '../../runtime/task.js';
import { once } from '../once.js';
import { panelTasks, type Where } from '../panelTasks.js';
import type { QuantizedRows, RowForm } from '../quantizedRows.js';

/** The kernels for a plan and a number of blocks in a group. */
const gemmOf = once((plan: Int4Plan) => once((group: number) => int4Gemm(plan, group)));
const gemmMinimaOf = once((plan: Int4Plan) => once((group: number) => int4GemmMinima(plan, group)));
const kernelsOf = once((plan: Int4Plan) => quantizeModule(nibbleForm(plan)));

/** Activations of 8 bits. */
export const int4Form = (plan: Int4Plan, groupSize: number): RowForm => ({
  kernels: kernelsOf(plan),
  groupSize,
  padding: blockWidth,
  words: wordsOf(plan),
  height: plan.rows,
  block: plan.block,
});

/** Tasks for one row of float activations at `x`: the same bits as a product with the dequantized weight. */
export function exactRowTasks(machine: Machine, x: number, right: Int4Panels, c: number): Task[] {
  const { address: panels, zeros, stride, group, groups, depth } = right;
  const part = partOf(depth, machine.plan);
  const { exactRow, exactRowMinima } = machine.calls(int4Exact);
  const row = right.minima ? exactRowMinima : exactRow;
  return panelTasks(machine, right, 1, c, 4 * right.rows, int4PanelRows * depth, (y, _, from, to) => [
    row({ panels, zeros, x, y, from, to, stride, group, groups, depth, part }),
  ]);
}

/** The kernels for what a weight's groups have. */
function gemm(machine: Machine, { group, zeros, minima }: Int4Panels) {
  if (minima) return machine.calls(gemmMinimaOf(machine.int4)(group));
  const kernels = machine.calls(gemmOf(machine.int4)(group));
  if (!zeros) return kernels;
  return { oneRow: kernels.oneRowZeros, fewRows: kernels.fewRowsZeros, manyRows: kernels.manyRowsZeros };
}

/** Calls that compute panels [from, to) for rows [row, row + rows), at most a block of them. */
export function int4Calls(
  machine: Machine,
  left: QuantizedRows,
  right: Int4Panels,
  row: number,
  rows: number,
  ...[c, rowStride, from, to]: Where
): Call[] {
  const plan = machine.int4;
  const { address: panels, zeros, blocks, groups } = right;
  const { oneRow, fewRows, manyRows } = gemm(machine, right);
  const x = left.x + 16 * wordsOf(plan) * row * blocks;
  const [scales, sums] = [left.scales + 4 * row * groups, left.sums + 4 * row * groups];
  if (left.rows <= plan.fewRows) {
    const whole = { panels, zeros, x, scales, sums, y: c, from, to, blocks, groups };
    return [left.rows === 1 ? oneRow(whole) : fewRows({ ...whole, rowStride, rows })];
  }
  const scratch = machine.scratch.unpacked;
  const calls: Call[] = [];
  for (let done = 0; done < blocks; done += plan.depthBlocks) {
    const part = Math.min(plan.depthBlocks, blocks - done);
    calls.push(
      manyRows({
        panels,
        zeros,
        x,
        scales,
        sums,
        c,
        rowStride,
        rows,
        from,
        to,
        blocks,
        groups,
        done,
        part,
        scratch,
      }),
    );
  }
  return calls;
}
