/** Products with weights that are integers in groups along a row, of 4 bits or of 8. */
import type { Activation } from '../../expression.js';
import type { Int4Panels } from '../layouts/int4/int4Panels.js';
import type { Int8Panels } from '../layouts/int8/int8Panels.js';
import type { Machine } from '../runtime/machine.js';
import type { Frame } from '../runtime/memory.js';
import { perUnit, type Call, type Task } from '../runtime/task.js';
import { int4Calls, int4Form } from './int4/int4Product.js';
import { int8Calls, int8Form } from './int8/int8Product.js';
import { gatedCall } from './map.js';
import { panelColumns, panelTasks, type Where } from './panelTasks.js';
import { quantizeGroupCall, roomForRows, type QuantizedRows, type RowForm } from './quantizedRows.js';

export type IntegerPanels = Int4Panels | Int8Panels;

export const isInt8Right = (right: object): right is Int8Panels => 'stored' in right && right.stored === 'int8';

/** How a weight takes activations. */
export const formFor = (machine: Machine, right: IntegerPanels): RowForm =>
  isInt8Right(right) ? int8Form(machine.plan, right.groupSize) : int4Form(machine.int4, right.groupSize);

/** Calls that compute panels [from, to) for rows [row, row + rows), at most a block of them. */
const panelCalls = (
  machine: Machine,
  left: QuantizedRows,
  right: IntegerPanels,
  row: number,
  rows: number,
  where: Where,
): Call[] =>
  isInt8Right(right)
    ? int8Calls(machine, left, right, row, rows, ...where)
    : int4Calls(machine, left, right, row, rows, ...where);

/**
 * activation(gate x) * up x of one row, as integers for the projection after it: each group of that is a unit of work, from
 * the products to the integers.
 */
export function gatedRow(
  machine: Machine,
  frame: Frame,
  [gate, up]: readonly { readonly left: QuantizedRows; readonly right: IntegerPanels }[],
  activation: Activation,
  form: RowForm,
): QuantizedRows {
  const { rows: width, depth, address, stride } = gate.right;
  const { groupSize } = form;
  const panels = groupSize / panelColumns;
  const room = roomForRows(frame, 1, width, form);
  const [g, u] = [frame.take(4 * width), frame.take(4 * width)];
  const last = { base: 0, unit: panels, count: panels };
  const product = ({ left, right }: typeof gate, target: number): Call[] =>
    panelCalls(machine, left, right, 0, 1, [target, 4 * width, perUnit(0, panels), last]);
  const [gates, ups] = [perUnit(g, 4 * groupSize), perUnit(u, 4 * groupSize)];
  const units = width / groupSize;
  machine.run([
    {
      units,
      chunk: machine.chunkOf(units),
      work: 4 * width * depth,
      weights: { address, bytes: (width / panelColumns) * stride },
      calls: [
        ...product(gate, g),
        ...product(up, u),
        gatedCall(machine, activation, { gate: gates, up: ups, y: gates, count: { base: 0, count: groupSize } }),
        quantizeGroupCall(machine, room, gates),
      ],
    },
  ]);
  return room;
}

/**
 * c [rows, right.rows], rows `rowStride` bytes apart, = left right^T. A row's result does not depend on how many rows
 * there are, nor on the plan.
 */
export function integerProduct(
  machine: Machine,
  left: QuantizedRows,
  right: IntegerPanels,
  c: number,
  rowStride = 4 * right.rows,
): void {
  machine.run(integerTasks(machine, left, right, c, rowStride));
}

/** As `integerProduct`, as tasks. */
export function integerTasks(
  machine: Machine,
  left: QuantizedRows,
  right: IntegerPanels,
  c: number,
  rowStride = 4 * right.rows,
): Task[] {
  const { block } = left.form;
  const tasks: Task[] = [];
  for (let row = 0; row < left.rows; row += block) {
    const rows = Math.min(block, left.rows - row);
    // The two products of a byte of int4 weights together take a quarter of the time of one in float32.
    const work = (isInt8Right(right) ? panelColumns / 2 : 2) * rows * right.depth;
    tasks.push(
      ...panelTasks(machine, right, rows, c + row * rowStride, rowStride, work, (...where) =>
        panelCalls(machine, left, right, row, rows, where),
      ),
    );
  }
  return tasks;
}
