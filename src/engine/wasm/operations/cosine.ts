/** Launching cosines of rows. */
import type { Operand } from '../../backend.js';
import { cosine as kernels } from '../kernels/similarity.js';
import type { Machine } from '../runtime/machine.js';
import { addressOf } from '../runtime/memory.js';
import { perUnit, unitCount } from '../runtime/task.js';

/** into += the sum over rows of cos(a_row, b_row): rows by any thread, then their sum in order. */
export function cosine(machine: Machine, a: Operand, b: Operand, into: number): void {
  const [rows, width] = a.shape;
  using frame = machine.memory.frame();
  const y = frame.take(8 * rows);
  const call = machine.calls(kernels).cosines({
    a: perUnit(addressOf(a), 4 * width),
    b: perUnit(addressOf(b), 4 * width),
    y: perUnit(y, 8),
    rows: unitCount,
    width,
  });
  machine.run([machine.rowsTask(rows, 3 * width, call)]);
  machine.kernels(kernels).addUp({ x: y, into, count: rows });
}
