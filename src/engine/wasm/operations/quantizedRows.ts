/** Activations as integers: the left sides of products with integer weights. */
import type { quantizeModule } from '../kernels/quantizeRows.js';
import { roundUp } from '../layouts/roundUp.js';
import type { Machine } from '../runtime/machine.js';
import type { Frame } from '../runtime/memory.js';
import { perUnit, unitCount, type Argument, type Call, type Task } from '../runtime/task.js';
import { making, type Matrix } from './packRows.js';

/** How a kind of weights takes activations. */
export interface RowForm {
  readonly kernels: ReturnType<typeof quantizeModule>;
  /** Activations that share a scale, and how many groups are padded to a multiple of. */
  readonly groupSize: number;
  readonly padding: number;
  /** Words of 8 activations. */
  readonly words: number;
  /** Rows of a tile, and rows that are multiplied at a time, which are whole tiles. */
  readonly height: number;
  readonly block: number;
}

/** Rows of activations as integers with a scale a group, in tiles: see `quantizeModule`. */
export interface QuantizedRows {
  readonly form: RowForm;
  readonly rows: number;
  readonly groups: number;
  readonly x: number;
  readonly scales: number;
  readonly sums: number;
}

/** Bytes of a row of `width` activations. */
export const rowBytes = ({ words, padding }: RowForm, width: number): number => (words / 2) * roundUp(width, padding);

/** Memory for `rows` rows of `width` activations as integers. */
export function roomForRows(frame: Frame, rows: number, width: number, form: RowForm): QuantizedRows {
  const groups = Math.ceil(width / form.groupSize);
  const x = frame.take(rows * rowBytes(form, width));
  const [scales, sums] = [frame.take(4 * rows * groups), frame.take(4 * rows * groups)];
  return { form, rows, groups, x, scales, sums };
}

/** Quantizes the rows of a contiguous matrix. */
export function quantizeRows(machine: Machine, frame: Frame, matrix: Matrix, form: RowForm): QuantizedRows {
  const { address, rows, depth: width } = matrix;
  const room = roomForRows(frame, rows, width, form);
  const { groups, x, scales, sums } = room;
  const bytes = rowBytes(form, width);
  const { quantize } = machine.calls(form.kernels);
  const tiles = (from: number, count: number, height: number): Task => {
    const call = quantize({
      source: perUnit(address + 4 * from * width, 4 * height * width),
      tiles: unitCount,
      height,
      width,
      group: form.groupSize,
      x: perUnit(x + from * bytes, height * bytes),
      scales: perUnit(scales + 4 * from * groups, 4 * height * groups),
      sums: perUnit(sums + 4 * from * groups, 4 * height * groups),
      pad: machine.scratch.pad,
    });
    return machine.rowsTask(count, 8 * height * width, ...making(matrix, from, height), call);
  };
  const rest = rows % form.height;
  machine.run([tiles(0, (rows - rest) / form.height, form.height), tiles(rows - rest, rest > 0 ? 1 : 0, rest)]);
  return room;
}

/** The call by which unit i quantizes group i of one row, whose floats are at `source`. */
export function quantizeGroupCall(machine: Machine, { form, x, scales, sums }: QuantizedRows, source: Argument): Call {
  const { groupSize } = form;
  return machine.calls(form.kernels).quantize({
    source,
    tiles: 1,
    height: 1,
    width: { base: 0, count: groupSize },
    group: groupSize,
    x: perUnit(x, rowBytes(form, groupSize)),
    scales: perUnit(scales, 4),
    sums: perUnit(sums, 4),
    pad: machine.scratch.pad,
  });
}
