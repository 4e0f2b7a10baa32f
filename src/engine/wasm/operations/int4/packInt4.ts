import type { Shape } from '../../../errors.js';
import { readInt4Rows, type Int4Format, type Int4Rows, type Int4Source } from '../../../int4.js';
import { int4Pack } from '../../kernels/int4/int4Pack.js';
import {
  blockWidth,
  int4Bytes,
  int4Layout,
  int4PanelRows,
  int4Stripe,
  zeroBytes,
  type Int4Panels,
} from '../../layouts/int4/int4Panels.js';
import { panelRows, type Panels } from '../../layouts/panels.js';
import { packBytes } from '../../layouts/tilePlan.js';
import type { Machine } from '../../runtime/machine.js';
import { Block, type Frame, type Memory } from '../../runtime/memory.js';
import { perUnit, unitCount } from '../../runtime/task.js';

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
    const { count, panels, ...sizes } = int4Layout(this.shape, this.format);
    const zeros = this.address + count * panels * sizes.stride;
    return Array.from({ length: count }, (_, i) => ({
      ...sizes,
      address: this.address + i * panels * sizes.stride,
      zeros: this.format.zeroPoints ? zeros + i * panels * sizes.groups * zeroBytes : 0,
    }));
  }
}

/** Reads an int4 weight a few rows at a time, straight into its panels: no second copy of it is made. */
export async function packInt4(machine: Machine, source: Int4Source): Promise<Int4Storage> {
  const { shape, format } = source;
  const { blocks, rows } = int4Layout(shape, format);
  const storage = new Int4Storage(machine.memory, shape, format);
  const step = int4PanelRows * Math.max(1, Math.floor(packBytes / (16 * blocks) / int4PanelRows));
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

/** Packs some rows into panels. Missing rows of the last panel and missing weights of the last block are zeros. */
function packChunk(machine: Machine, { quants, scales, zeros, minima }: Int4Rows, to: Int4Panels): void {
  using frame = machine.memory.frame();
  const { rows, depth, blocks, group, groups, address } = to;
  const panels = Math.ceil(rows / int4PanelRows);
  const padding = panels * int4PanelRows;
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
  const halves = (at: number, values: Uint16Array): Uint16Array => {
    const bytes = machine.memory.bytes(at, padding * groups * 2);
    const target = new Uint16Array(bytes.buffer, bytes.byteOffset, padding * groups);
    target.fill(0, values.length).set(values);
    return target;
  };
  halves(scalesAt, scales);
  const minimaAt = minima ? frame.take(padding * groups * 2) : 0;
  if (minima)
    halves(
      minimaAt,
      minima.map((minimum) => minimum ^ 0x8000),
    );
  machine
    .kernels(int4Pack)
    .pack({ quants: quantsAt, scales: scalesAt, minima: minimaAt, target: address, panels, blocks, group, groups });
  if (!to.zeros) return;
  const target = machine.memory.bytes(to.zeros, panels * groups * zeroBytes).fill(0);
  for (let row = 0; row < rows; row++)
    for (let at = 0; at < groups; at++) {
      const place = (Math.floor(row / int4PanelRows) * groups + at) * int4PanelRows + (row % int4PanelRows);
      target[place] = zeros![row * groups + at];
    }
}

/** Panels as float32, for a stripe that is not too large. */
export function dequantize(machine: Machine, frame: Frame, from: Int4Panels): Panels {
  const panels = Math.ceil(from.rows / int4PanelRows);
  const stride = 4 * panelRows * blockWidth * from.blocks;
  const target = frame.take((int4PanelRows / panelRows) * panels * stride);
  const { dequantize, dequantizeMinima } = machine.calls(int4Pack);
  const dequantized = (from.minima ? dequantizeMinima : dequantize)({
    source: perUnit(from.address, from.stride),
    zeros: from.zeros && perUnit(from.zeros, zeroBytes * from.groups),
    target: perUnit(target, (int4PanelRows / panelRows) * stride),
    panels: unitCount,
    blocks: from.blocks,
    group: from.group,
  });
  machine.run([machine.rowsTask(panels, 2 * int4PanelRows * from.depth, dequantized)]);
  return { address: target, rows: from.rows, depth: from.depth, stride, stored: 'float32' };
}

/** Rows of an embedding, as float32 [ids, depth] at `target`. */
export function gatherInt4(machine: Machine, from: Int4Panels, ids: number, count: number, target: number): void {
  const { address: panels, zeros, depth: width, groups, stride: panelStride } = from;
  const { gather, gatherMinima } = machine.kernels(int4Pack);
  (from.minima ? gatherMinima : gather)({
    panels,
    zeros,
    ids,
    target,
    count,
    width,
    group: from.group * blockWidth,
    groups,
    panelStride,
  });
}
