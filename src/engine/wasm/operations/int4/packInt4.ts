import type { Shape } from '../../../errors.js';
import { groupsOf, readInt4Rows, type Int4Format, type Int4Rows, type Int4Source } from '../../../int4.js';
import { int4Pack } from '../../kernels/int4/int4Pack.js';
import type { Machine } from '../../runtime/machine.js';
import { Block, type Frame, type Memory } from '../../runtime/memory.js';
import type { Panels } from '../packRows.js';
import { perUnit, unitCount } from '../../runtime/task.js';
import { packBytes } from '../../layouts/tilePlan.js';
import { blockBytes, blockWidth, panelRows, scaleBytes, zeroBytes } from '../../layouts/int4/int4Plan.js';

/**
 * A matrix [rows, depth] of int4 weights as panels of 16 rows. Along the depth, groups of `group` blocks of 32 weights,
 * the last perhaps of fewer: 256 bytes a block, then the group's 16 scales. Zero points, where there are any, are
 * bytes [panels][groups][16] of their own.
 */
export interface Int4Panels {
  readonly address: number;
  /** 0 without zero points. */
  readonly zeros: number;
  readonly rows: number;
  readonly depth: number;
  readonly groupSize: Int4Format['groupSize'];
  readonly blocks: number;
  /** Blocks of a group. */
  readonly group: number;
  readonly groups: number;
  /** Bytes from panel to panel. */
  readonly stride: number;
}

/** An int4 weight in a memory: panels of all its matrices, then all their zero points. */
export class Int4Storage extends Block {
  #matrices: readonly Int4Panels[];

  constructor(
    memory: Memory,
    private readonly shape: Shape,
    private readonly format: Int4Format,
  ) {
    super(memory, int4Bytes({ shape, format }));
    this.#matrices = this.#placed();
  }

  /** The weight itself, or its experts. */
  get matrices(): readonly Int4Panels[] {
    return this.#matrices;
  }

  override moveTo(memory: Memory): void {
    super.moveTo(memory);
    this.#matrices = this.#placed();
  }

  #placed(): Int4Panels[] {
    const { count, panels, ...sizes } = layout(this.shape, this.format);
    const zeros = this.address + count * panels * sizes.stride;
    return Array.from({ length: count }, (_, i) => ({
      ...sizes,
      address: this.address + i * panels * sizes.stride,
      zeros: this.format.zeroPoints ? zeros + i * panels * sizes.groups * zeroBytes : 0,
    }));
  }
}

/** Bytes that an int4 weight takes. */
export function int4Bytes({ shape, format }: Pick<Int4Source, 'shape' | 'format'>): number {
  const { count, panels, stride, groups } = layout(shape, format);
  return count * panels * (stride + (format.zeroPoints ? zeroBytes * groups : 0));
}

/** Sizes of each of a weight's matrices, how many panels one has, and how many matrices there are. */
function layout(shape: Shape, format: Int4Format) {
  const [rows, depth] = shape.slice(-2);
  const { groupSize } = format;
  const blocks = Math.ceil(depth / blockWidth);
  const groups = groupsOf(depth, format);
  const stride = blocks * blockBytes + groups * scaleBytes;
  return {
    count: shape.length === 3 ? shape[0] : 1,
    panels: Math.ceil(rows / panelRows),
    rows,
    depth,
    groupSize,
    blocks,
    group: groupSize / blockWidth,
    groups,
    stride,
  };
}

/** Rows [first, first + rows) of panels; `first` is a multiple of 16. */
export function int4Stripe(panels: Int4Panels, first: number, rows: number): Int4Panels {
  const { address, zeros, stride, groups } = panels;
  return { ...panels, rows, address: address + (first / panelRows) * stride, zeros: zeros && zeros + first * groups };
}

/** Reads an int4 weight a few rows at a time, straight into its panels: no second copy of it is made. */
export async function packInt4(machine: Machine, source: Int4Source): Promise<Int4Storage> {
  const { shape, format } = source;
  const { blocks, rows } = layout(shape, format);
  const storage = new Int4Storage(machine.memory, shape, format);
  const step = panelRows * Math.max(1, Math.floor(packBytes / (16 * blocks) / panelRows));
  try {
    for (const [matrix, to] of storage.matrices.entries()) {
      for (let row = 0; row < rows; row += step) {
        const end = Math.min(rows, row + step);
        packChunk(
          machine,
          await readInt4Rows(source, matrix * rows + row, matrix * rows + end),
          int4Stripe(to, row, end - row),
        );
      }
    }
  } catch (error) {
    storage.free();
    throw error;
  }
  return storage;
}

/** Rows that lack in the last panel, and weights that lack in the last block, are zeros. */
function packChunk(machine: Machine, { quants, scales, zeros }: Int4Rows, to: Int4Panels): void {
  using frame = machine.memory.frame();
  const { rows, depth, blocks, group, groups, address } = to;
  const panels = Math.ceil(rows / panelRows);
  const padding = panels * panelRows;
  const [rowBytes, paddedBytes] = [Math.ceil(depth / 2), 16 * blocks];
  const quantsAt = frame.take(padding * paddedBytes);
  const scalesAt = frame.take(padding * groups * 2);
  const padded = machine.memory.bytes(quantsAt, padding * paddedBytes);
  if (rowBytes === paddedBytes) padded.fill(0, quants.length).set(quants);
  else {
    padded.fill(0);
    for (let row = 0; row < rows; row++)
      padded.set(quants.subarray(row * rowBytes, (row + 1) * rowBytes), row * paddedBytes);
  }
  const halves = machine.memory.bytes(scalesAt, padding * groups * 2);
  halves.fill(0).set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
  machine
    .kernels(int4Pack)
    .pack({ quants: quantsAt, scales: scalesAt, target: address, panels, blocks, group, groups });
  if (!zeros) return;
  const target = machine.memory.bytes(to.zeros, padding * groups).fill(0);
  for (let row = 0; row < rows; row++)
    for (let at = 0; at < groups; at++)
      target[(Math.floor(row / panelRows) * groups + at) * zeroBytes + (row % panelRows)] = zeros[row * groups + at];
}

/** Panels as float32, for a stripe that is not too large. */
export function dequantize(machine: Machine, frame: Frame, from: Int4Panels): Panels {
  const panels = Math.ceil(from.rows / panelRows);
  const stride = 32 * blockWidth * from.blocks;
  const target = frame.take((panelRows / 8) * panels * stride);
  const dequantized = machine.calls(int4Pack).dequantize({
    source: perUnit(from.address, from.stride),
    zeros: from.zeros && perUnit(from.zeros, zeroBytes * from.groups),
    target: perUnit(target, (panelRows / 8) * stride),
    panels: unitCount,
    blocks: from.blocks,
    group: from.group,
  });
  machine.run([machine.rowsTask(panels, 2 * panelRows * from.depth, dequantized)]);
  return { address: target, rows: from.rows, depth: from.depth, stride, stored: 'float32' };
}

/** Rows of an embedding, as float32 [ids, depth] at `target`. */
export function gatherInt4(machine: Machine, from: Int4Panels, ids: number, count: number, target: number): void {
  const { address: panels, zeros, depth: width, groups, stride: panelStride } = from;
  machine
    .kernels(int4Pack)
    .gather({ panels, zeros, ids, target, count, width, group: from.group * blockWidth, groups, panelStride });
}
