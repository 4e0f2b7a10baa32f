/** Launching sums of products of columns, in float64. */
import type { Operand } from '../../backend.js';
import { gram as kernels, gramTile } from '../kernels/columnProducts.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf, type Frame } from '../runtime/memory.js';
import { perUnit, type Varying } from '../runtime/task.js';

/** A unit is a group of columns: its first column, and the one after its last. */
const from: Varying = { base: 0, unit: gramTile };
const to: Varying = { base: 0, unit: gramTile, count: gramTile };

/** x's columns in groups, as float64. */
function grouped(machine: Machine, frame: Frame, x: Operand): number {
  const [rows, width] = x.shape;
  const units = Math.ceil(width / gramTile);
  const bytes = 8 * gramTile * rows;
  const groups = frame.take(bytes * units);
  const widen = machine
    .calls(kernels)
    .widen({ x: addressOf(x), groups: perUnit(groups, bytes), rows, width, from, to });
  machine.run([machine.rowsTask(units, gramTile * rows, widen)]);
  return groups;
}

/** into [D, D] += X^T X of x [T, D] */
export function gram(machine: Machine, x: Operand, into: number): void {
  const [rows, width] = x.shape;
  using frame = machine.memory.frame();
  const groups = grouped(machine, frame, x);
  const call = machine.calls(kernels).gram({ groups, tile: machine.scratch.sums, into, rows, width, from, to });
  // Later rows of the triangle are shorter: one at a time.
  machine.run([{ units: Math.ceil(width / gramTile), chunk: 1, work: (rows * width * width) / 2, calls: [call] }]);
}

/** into [A, B] += A^T B of a [T, A] and b [T, B] */
export function crossGram(machine: Machine, a: Operand, b: Operand, into: number): void {
  const [rows, height] = a.shape;
  const width = b.shape[1];
  using frame = machine.memory.frame();
  const [left, groups] = [grouped(machine, frame, a), grouped(machine, frame, b)];
  const call = machine
    .calls(kernels)
    .crossGram({ left, groups, tile: machine.scratch.sums, into, rows, height, width, from, to });
  machine.run([machine.rowsTask(Math.ceil(height / gramTile), gramTile * rows * width, call)]);
}
