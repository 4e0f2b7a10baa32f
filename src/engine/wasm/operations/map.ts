/** Elementwise expressions over rows, and the activation of a gated MLP. */
import type { Broadcast } from '../../broadcast.js';
import { gatedBy, type Activation, type Expression } from '../../expression.js';
import { elementwise } from '../kernels/elementwise.js';
import { mapModule } from '../kernels/map.js';
import type { Machine } from '../runtime/machine.js';
import { perUnit, unitCount, type Argument, type Call } from '../runtime/task.js';

/** The expression of x [rows, width] and, where it has a second operand, what belongs to it at y, to `target`. */
export function mapRows(
  machine: Machine,
  expression: Expression,
  x: number,
  target: number,
  { rows, width, rowStride, columnStride }: Broadcast,
  y?: number,
): void {
  if (rows * width === 0) return;
  const second = y === undefined ? 'none' : columnStride === 1 ? 'beside' : 'perRow';
  const call = machine.calls(mapModule(expression, second)).map({
    x: perUnit(x, 4 * width),
    y: perUnit(y ?? 0, 4 * rowStride),
    target: perUnit(target, 4 * width),
    rows: unitCount,
    width,
    yStride: 4 * rowStride,
  });
  machine.run([machine.rowsTask(rows, 8 * width, call)]);
}

/** y = activation(gate) * up, `count` floats; y may be either. */
export function gatedCall(
  machine: Machine,
  activation: Activation,
  { gate, up, y, count }: Readonly<Record<'gate' | 'up' | 'y' | 'count', Argument>>,
): Call {
  if (activation === 'silu') return machine.calls(elementwise).siluMultiply({ gate, up, y, count });
  const { map } = machine.calls(mapModule(gatedBy(activation), 'beside'));
  return map({ x: gate, y: up, target: y, rows: 1, width: count, yStride: 0 });
}
