import type { Activation } from '../../../expression.js';
import type { Int4Format } from '../../../int4.js';
import { int4Exact } from '../../kernels/int4/int4Exact.js';
import { int4Gemm, int4GemmMinima } from '../../kernels/int4/int4Gemm.js';
import { int4Quantize } from '../../kernels/int4/int4Quantize.js';
import { wordsOf } from '../../kernels/int4/nibbleDots.js';
import { pack } from '../../kernels/pack.js';
import { type Int4Panels, blockWidth, int4PanelRows } from '../../layouts/int4/int4Panels.js';
import type { Int4Plan } from '../../layouts/int4/int4Plan.js';
import { partOf } from '../../layouts/tilePlan.js';
import type { Machine } from '../../runtime/machine.js';
import type { Frame } from '../../runtime/memory.js';
import {
  endUnit,
  firstUnit,
  perUnit,
  plus,
  unitCount,
  type Argument,
  type Call,
  type Task,
} from '../../runtime/task.js';
import { gatedCall } from '../map.js';
import { making, type Matrix } from '../packRows.js';

/** Kernels, made once a process for each key. */
function once<K, M>(make: (key: K) => M): (key: K) => M {
  const made = new Map<K, M>();
  return (key) => {
    let found = made.get(key);
    if (!found) made.set(key, (found = make(key)));
    return found;
  };
}

/** The kernels for a plan and a number of blocks in a group. */
const gemmOf = once((plan: Int4Plan) => once((group: number) => int4Gemm(plan, group)));
const gemmMinimaOf = once((plan: Int4Plan) => once((group: number) => int4GemmMinima(plan, group)));
const quantizeOf = once(int4Quantize);

/** Rows of activations as integers from -127 to 127 with a scale a group, in tiles: see `int4Quantize`. */
export interface QuantizedRows {
  readonly rows: number;
  readonly groups: number;
  readonly x: number;
  readonly scales: number;
  readonly sums: number;
}

/** Memory for `rows` rows of `width` activations as integers. */
function roomForRows(
  machine: Machine,
  frame: Frame,
  rows: number,
  width: number,
  groupSize: Int4Format['groupSize'],
): QuantizedRows & { readonly rowBytes: number } {
  const rowBytes = 16 * wordsOf(machine.int4) * Math.ceil(width / blockWidth);
  const groups = Math.ceil(width / groupSize);
  const [x, scales, sums] = [frame.take(rows * rowBytes), frame.take(4 * rows * groups), frame.take(4 * rows * groups)];
  return { rows, groups, x, scales, sums, rowBytes };
}

/** Quantizes the rows of a contiguous matrix. */
export function quantizeRows(
  machine: Machine,
  frame: Frame,
  matrix: Matrix,
  groupSize: Int4Format['groupSize'],
): QuantizedRows {
  const plan = machine.int4;
  const { address, rows, depth: width } = matrix;
  const room = roomForRows(machine, frame, rows, width, groupSize);
  const { rowBytes, groups, x, scales, sums } = room;
  const { quantize } = machine.calls(quantizeOf(plan));
  const tiles = (from: number, count: number, height: number): Task => {
    const call = quantize({
      source: perUnit(address + 4 * from * width, 4 * height * width),
      tiles: unitCount,
      height,
      width,
      group: groupSize,
      x: perUnit(x + from * rowBytes, height * rowBytes),
      scales: perUnit(scales + 4 * from * groups, 4 * height * groups),
      sums: perUnit(sums + 4 * from * groups, 4 * height * groups),
      pad: machine.scratch.pad,
    });
    return machine.rowsTask(count, 8 * height * width, ...making(matrix, from, height), call);
  };
  const rest = rows % plan.rows;
  machine.run([tiles(0, (rows - rest) / plan.rows, plan.rows), tiles(rows - rest, rest > 0 ? 1 : 0, rest)]);
  return room;
}

/**
 * activation(gate x) * up x of one row, as integers for the projection after it: each group of that is a unit of work, from
 * the products to the integers.
 */
export function gatedRow(
  machine: Machine,
  frame: Frame,
  [gate, up]: readonly { readonly left: QuantizedRows; readonly right: Int4Panels }[],
  activation: Activation,
  groupSize: Int4Format['groupSize'],
): QuantizedRows {
  const { rows: width, depth, address, stride } = gate.right;
  const panels = groupSize / int4PanelRows;
  const room = roomForRows(machine, frame, 1, width, groupSize);
  const [g, u] = [frame.take(4 * width), frame.take(4 * width)];
  const product = ({ left, right }: typeof gate, target: number): Call[] =>
    panelCalls(machine, left, right, 0, 1, target, 4 * width, perUnit(0, panels), {
      base: 0,
      unit: panels,
      count: panels,
    });
  const [gates, ups] = [perUnit(g, 4 * groupSize), perUnit(u, 4 * groupSize)];
  const units = width / groupSize;
  machine.run([
    {
      units,
      chunk: machine.chunkOf(units),
      work: 4 * width * depth,
      weights: { address, bytes: (width / int4PanelRows) * stride },
      calls: [
        ...product(gate, g),
        ...product(up, u),
        gatedCall(machine, activation, { gate: gates, up: ups, y: gates, count: { base: 0, count: groupSize } }),
        machine.calls(quantizeOf(machine.int4)).quantize({
          source: gates,
          tiles: 1,
          height: 1,
          width: { base: 0, count: groupSize },
          group: groupSize,
          x: perUnit(room.x, (16 * wordsOf(machine.int4) * groupSize) / blockWidth),
          scales: perUnit(room.scales, 4),
          sums: perUnit(room.sums, 4),
          pad: machine.scratch.pad,
        }),
      ],
    },
  ]);
  return room;
}

/**
 * c [rows, right.rows], rows `rowStride` bytes apart, = left right^T. A row's result does not depend on how many rows
 * there are, nor on the plan.
 */
export function int4Product(
  machine: Machine,
  left: QuantizedRows,
  right: Int4Panels,
  c: number,
  rowStride = 4 * right.rows,
): void {
  machine.run(int4Tasks(machine, left, right, c, rowStride));
}

/** As `int4Product`, as tasks. */
export function int4Tasks(
  machine: Machine,
  left: QuantizedRows,
  right: Int4Panels,
  c: number,
  rowStride = 4 * right.rows,
): Task[] {
  const { block } = machine.int4;
  const tasks: Task[] = [];
  for (let row = 0; row < left.rows; row += block) {
    const rows = Math.min(block, left.rows - row);
    // The two products of a byte of weights together take a quarter of the time of one in float32.
    const work = 2 * rows * right.depth;
    tasks.push(
      ...panelTasks(machine, right, rows, c + row * rowStride, rowStride, work, (...where) =>
        panelCalls(machine, left, right, row, rows, ...where),
      ),
    );
  }
  return tasks;
}

/** Rows `rowStride` bytes apart at `c` and panels [from, to) of a weight that are computed for them. */
type Where = readonly [c: Argument, rowStride: number, from: Argument, to: Argument];

/** Tasks for `rows` rows of a product with all panels of a weight; `work` is the work of one panel. */
function panelTasks(
  machine: Machine,
  right: Int4Panels,
  rows: number,
  c: number,
  rowStride: number,
  work: number,
  calls: (...where: Where) => Call[],
): Task[] {
  const full = Math.floor(right.rows / int4PanelRows);
  const columns = right.rows % int4PanelRows;
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
  const { oneRow, oneRowZeros, manyRows, manyRowsZeros } = machine.calls(gemmOf(machine.int4)(group));
  return zeros ? { oneRow: oneRowZeros, manyRows: manyRowsZeros } : { oneRow, manyRows };
}

/** Calls that compute panels [from, to) for rows [row, row + rows), at most a block of them. */
function panelCalls(
  machine: Machine,
  left: QuantizedRows,
  right: Int4Panels,
  row: number,
  rows: number,
  c: Argument,
  rowStride: number,
  from: Argument,
  to: Argument,
): Call[] {
  const plan = machine.int4;
  const { address: panels, zeros, blocks, groups } = right;
  if (left.rows === 1) {
    const { x, scales, sums } = left;
    return [gemm(machine, right).oneRow({ panels, zeros, x, scales, sums, y: c, from, to, blocks, groups })];
  }
  const x = left.x + 16 * wordsOf(plan) * row * blocks;
  const [scales, sums] = [left.scales + 4 * row * groups, left.sums + 4 * row * groups];
  const { manyRows } = gemm(machine, right);
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

/** Bytes of a panel's columns of a row of results. */
const panelBytes = 4 * int4PanelRows;
