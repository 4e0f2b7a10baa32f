import type { Shape } from '../../../errors.js';
import { readInt8Rows, type Int8Format, type Int8Rows, type Int8Source } from '../../../int8.js';
import { int8Pack } from '../../kernels/int8/int8Pack.js';
import { int8Bytes, int8Layout, int8PanelRows, int8Stripe, type Int8Panels } from '../../layouts/int8/int8Panels.js';
import { packBytes } from '../../layouts/tilePlan.js';
import type { Machine } from '../../runtime/machine.js';
import { Block, type Memory } from '../../runtime/memory.js';

/** An int8 weight in a memory: panels of all its matrices. */
export class Int8Storage extends Block {
  #matrices: readonly Int8Panels[];

  constructor(
    memory: Memory,
    private readonly shape: Shape,
    private readonly format: Int8Format,
  ) {
    super(memory, int8Bytes({ shape, format }));
    this.#matrices = this.#placed();
  }

  /** The weight itself, or its experts. */
  get matrices(): readonly Int8Panels[] {
    return this.#matrices;
  }

  override moveTo(memory: Memory): void {
    super.moveTo(memory);
    this.#matrices = this.#placed();
  }

  #placed(): Int8Panels[] {
    const { count, panels, ...sizes } = int8Layout(this.shape, this.format);
    return Array.from({ length: count }, (_, i) => ({ ...sizes, address: this.address + i * panels * sizes.stride }));
  }
}

/** Reads an int8 weight a few rows at a time, straight into its panels: no second copy of it is made. */
export async function packInt8(machine: Machine, source: Int8Source): Promise<Int8Storage> {
  const { shape, format } = source;
  const { rows, groups, groupSize } = int8Layout(shape, format);
  const storage = new Int8Storage(machine.memory, shape, format);
  const step = int8PanelRows * Math.max(1, Math.floor(packBytes / (groups * groupSize) / int8PanelRows));
  try {
    for (const [matrix, to] of storage.matrices.entries())
      for (let row = 0; row < rows; row += step) {
        const end = Math.min(rows, row + step);
        const read = await readInt8Rows(source, matrix * rows + row, matrix * rows + end);
        packChunk(machine, read, int8Stripe(to, row, end - row));
      }
  } catch (error) {
    storage.free();
    throw error;
  }
  return storage;
}

/** Packs some rows into panels. Missing rows of the last panel and missing weights of the last group are zeros. */
function packChunk(machine: Machine, { quants, scales }: Int8Rows, to: Int8Panels): void {
  using frame = machine.memory.frame();
  const { rows, depth, groups, groupSize, address: target } = to;
  const panels = Math.ceil(rows / int8PanelRows);
  const padding = panels * int8PanelRows;
  const padded = groups * groupSize;
  const [quantsAt, scalesAt] = [frame.take(padding * padded), frame.take(2 * padding * groups)];
  const bytes = machine.memory.bytes(quantsAt, padding * padded);
  if (depth === padded) bytes.fill(0, quants.length).set(quants);
  else {
    bytes.fill(0);
    for (let row = 0; row < rows; row++) bytes.set(quants.subarray(row * depth, (row + 1) * depth), row * padded);
  }
  const halves = machine.memory.bytes(scalesAt, 2 * padding * groups);
  halves.fill(0).set(new Uint8Array(scales.buffer, scales.byteOffset, scales.byteLength));
  machine.kernels(int8Pack).pack({ quants: quantsAt, scales: scalesAt, target, panels, groupSize, groups });
}

/** Rows of an embedding, as float32 [ids, depth] at `target`. */
export function gatherInt8(machine: Machine, from: Int8Panels, ids: number, count: number, target: number): void {
  const { address: panels, depth: width, groupSize, stride: panelStride } = from;
  machine.kernels(int8Pack).gather({ panels, ids, target, count, width, groupSize, panelStride });
}
