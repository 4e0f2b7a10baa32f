import type { Int4Format } from '../../int4.js';
import { int4Gemm } from '../kernels/int4Gemm.js';
import { int4Quantize } from '../kernels/int4Quantize.js';
import { wordsOf } from '../kernels/nibbles.js';
import { pack } from '../kernels/pack.js';
import type { KernelModule } from '../kernel.js';
import type { Machine } from '../machine.js';
import type { Frame } from '../memory.js';
import type { Int4Panels } from './int4Panels.js';
import { blockWidth, panelRows, type Int4Plan } from './int4Plan.js';

/** Kernels of a plan, made once a process. */
function once<E>(make: (plan: Int4Plan) => KernelModule<E>): (plan: Int4Plan) => KernelModule<E> {
  const made = new Map<Int4Plan, KernelModule<E>>();
  return (plan) => {
    let found = made.get(plan);
    if (!found) made.set(plan, (found = make(plan)));
    return found;
  };
}

const gemmOf = once(int4Gemm);
const quantizeOf = once(int4Quantize);

/** Rows of activations as integers from -127 to 127 with a scale a group, in tiles: see `int4Quantize`. */
export interface QuantizedRows {
  readonly rows: number;
  readonly groups: number;
  readonly x: number;
  readonly scales: number;
  readonly sums: number;
}

/** `rows` rows of `width` floats at `source`. */
export function quantizeRows(
  machine: Machine,
  frame: Frame,
  source: number,
  rows: number,
  width: number,
  groupSize: Int4Format['groupSize'],
): QuantizedRows {
  const plan = machine.int4;
  const rowBytes = 16 * wordsOf(plan) * Math.ceil(width / blockWidth);
  const groups = Math.ceil(width / groupSize);
  const [x, scales, sums, pad] = [
    frame.take(rows * rowBytes),
    frame.take(4 * rows * groups),
    frame.take(4 * rows * groups),
    frame.take(4 * groupSize),
  ];
  const { quantize } = machine.kernels(quantizeOf(plan));
  const tiles = (from: number, count: number, height: number): void => {
    const per = 4 * from * groups;
    quantize({
      source: source + 4 * from * width,
      tiles: count,
      height,
      width,
      group: groupSize,
      x: x + from * rowBytes,
      scales: scales + per,
      sums: sums + per,
      pad,
    });
  };
  const rest = rows % plan.rows;
  if (rows > rest) tiles(0, (rows - rest) / plan.rows, plan.rows);
  if (rest > 0) tiles(rows - rest, 1, rest);
  return { rows, groups, x, scales, sums };
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
  const full = Math.floor(right.rows / panelRows);
  const columns = right.rows % panelRows;
  if (full > 0) panelProduct(machine, left, right, c, rowStride, 0, full);
  if (columns === 0) return;
  using frame = machine.memory.frame();
  // A panel that is not full is written beside the result, whose rows it would overrun.
  const source = frame.take(panelBytes * left.rows);
  panelProduct(machine, left, right, source - panelBytes * full, panelBytes, full, full + 1);
  const { copyColumns } = machine.kernels(pack);
  copyColumns({
    source,
    target: c + panelBytes * full,
    rows: left.rows,
    columns,
    sourceStride: panelBytes,
    targetStride: rowStride,
  });
}

/** Panels [from, to), into columns from 16 `from` on. */
function panelProduct(
  machine: Machine,
  left: QuantizedRows,
  right: Int4Panels,
  c: number,
  rowStride: number,
  from: number,
  to: number,
): void {
  const plan = machine.int4;
  const kernels = machine.kernels(gemmOf(plan));
  const { address: panels, zeros, blocks, group, groups } = right;
  if (left.rows === 1) {
    const { x, scales, sums } = left;
    const row = zeros ? kernels.oneRowZeros : kernels.oneRow;
    return row({ panels, zeros, x, scales, sums, y: c, from, to, blocks, group, groups });
  }
  using frame = machine.memory.frame();
  const words = wordsOf(plan);
  const scratch = frame.take(plan.depthBlocks * unpackedBytes(plan));
  const tiles = zeros ? kernels.manyRowsZeros : kernels.manyRows;
  for (let row = 0; row < left.rows; row += plan.block) {
    const rows = Math.min(plan.block, left.rows - row);
    const x = left.x + 16 * words * row * blocks;
    const [scales, sums] = [left.scales + 4 * row * groups, left.sums + 4 * row * groups];
    for (let done = 0; done < blocks; done += plan.depthBlocks) {
      const part = Math.min(plan.depthBlocks, blocks - done);
      tiles({
        panels,
        zeros,
        x,
        scales,
        sums,
        c: c + row * rowStride,
        rowStride,
        rows,
        from,
        to,
        blocks,
        group,
        groups,
        done,
        part,
        scratch,
      });
    }
  }
}

/** Bytes of a panel's columns of a row of results. */
const panelBytes = 4 * panelRows;

/** Room for a block of 8 rows of a panel: 32 operands of `words` words each, and at most 8 scales and 8 zero points. */
const unpackedBytes = (plan: Int4Plan): number => 32 * 4 * wordsOf(plan) + 64;
