import { int8Gemm, pairForm, tileRows } from '../../kernels/int8/int8Gemm.js';
import { quantizeModule } from '../../kernels/quantizeRows.js';
import type { Int8Panels } from '../../layouts/int8/int8Panels.js';
import type { TilePlan } from '../../layouts/tilePlan.js';
import type { Machine } from '../../runtime/machine.js';
import type { Call } from '../../runtime/task.js';
import { once } from '../once.js';
import type { Where } from '../panelTasks.js';
import { rowBytes, type QuantizedRows, type RowForm } from '../quantizedRows.js';

/** The kernels for a plan and a group size. */
const gemmOf = once((plan: TilePlan) => once((groupSize: number) => int8Gemm(plan, groupSize)));

const kernelsOf = once((groupSize: number) => quantizeModule(pairForm(groupSize)));

/** Activations of 16 bits. */
export const int8Form = ({ block }: TilePlan, groupSize: number): RowForm => ({
  kernels: kernelsOf(groupSize),
  groupSize,
  padding: groupSize,
  words: 4,
  height: tileRows,
  block: block - (block % tileRows),
});

/** Calls that compute panels [from, to) for rows [row, row + rows), at most a block of them. */
export function int8Calls(
  machine: Machine,
  left: QuantizedRows,
  right: Int8Panels,
  row: number,
  rows: number,
  ...[c, rowStride, from, to]: Where
): Call[] {
  const { plan } = machine;
  const { address: panels, groups, groupSize, depth } = right;
  const kernels = machine.calls(gemmOf(plan)(groupSize));
  if (left.rows === 1) return [kernels.oneRow({ panels, x: left.x, scales: left.scales, y: c, from, to, groups })];
  const x = left.x + row * rowBytes(left.form, depth);
  const scales = left.scales + 4 * row * groups;
  const most = Math.max(1, Math.floor(plan.depth / groupSize));
  const calls: Call[] = [];
  for (let done = 0; done < groups; done += most) {
    const part = Math.min(most, groups - done);
    calls.push(kernels.manyRows({ panels, x, scales, c, rowStride, rows, from, to, groups, done, part }));
  }
  return calls;
}
