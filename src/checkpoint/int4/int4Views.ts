import {
  groupsOf,
  middle,
  sizeOf,
  type Int4Format,
  type Int4Rows,
  type Int4Source,
  type Shape,
} from '../../engine/index.js';
import { rotaryRow, rowsOf, widthOf, type RotaryOrder } from '../rowViews.js';

/** Int4 sources made of other int4 sources, as `rowViews.ts` does with floats. */

type Values = Uint8Array | Uint16Array;

const ofSize = <T extends Values>(values: T, length: number): T =>
  new (values.constructor as new (length: number) => T)(length);

/** Applies a change to each of the arrays, which gets the number of elements in a row. */
function mapped(
  { quants, scales, zeros, minima }: Int4Rows,
  width: number,
  format: Int4Format,
  change: <T extends Values>(values: T, perRow: number) => T,
): Int4Rows {
  const groups = groupsOf(width, format);
  return {
    quants: change(quants, Math.ceil(width / 2)),
    scales: change(scales, groups),
    zeros: zeros && change(zeros, groups),
    minima: minima && change(minima, groups),
  };
}

/** Rows with each head's in the order `to`, as `rotaryOrdered`. */
export function rotaryOrderedInt4(source: Int4Source, headDim: number, to: RotaryOrder): Int4Source {
  const { name, shape, dtype, format } = source;
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const first = start - (start % headDim);
    const whole = await source.readInt4(first, Math.ceil(end / headDim) * headDim);
    return mapped(whole, widthOf({ shape }), format, (values, per) => {
      const out = ofSize(values, (end - start) * per);
      for (let row = start; row < end; row++) {
        const from = row - (row % headDim) - first + rotaryRow(row % headDim, headDim, to);
        out.set(values.subarray(from * per, (from + 1) * per), (row - start) * per);
      }
      return out;
    });
  };
  return { name, shape, dtype, format, readInt4 };
}

/** Rows [start, end) as a matrix: an expert of [experts, out, in]. */
export function sliceInt4(source: Int4Source, start: number, end: number, name: string): Int4Source {
  const { shape, dtype, format } = source;
  const readInt4 = (from: number, to: number): Promise<Int4Rows> => source.readInt4(start + from, start + to);
  return { name, shape: [end - start, widthOf({ shape })], dtype, format, readInt4 };
}

/** Zeros: a scale of 0 in every group. */
export function zeroInt4(name: string, shape: Shape, format: Int4Format): Int4Source {
  const width = widthOf({ shape });
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const count = (end - start) * groupsOf(width, format);
    return {
      quants: new Uint8Array((end - start) * Math.ceil(width / 2)).fill(middle * 17),
      scales: new Uint16Array(count),
      zeros: format.zeroPoints ? new Uint8Array(count).fill(middle) : undefined,
      minima: format.minima ? new Uint16Array(count) : undefined,
    };
  };
  return { name, shape, dtype: 'int4', format, readInt4 };
}

/** With a zero point in every group, where there were none. */
export function withZeroPoints(source: Int4Source): Int4Source {
  if (source.format.zeroPoints) return source;
  const { name, shape, dtype, format } = source;
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const { quants, scales } = await source.readInt4(start, end);
    return { quants, scales, zeros: new Uint8Array(scales.length).fill(middle) };
  };
  return { name, shape, dtype, format: { ...format, zeroPoints: true }, readInt4 };
}

/** [out, in] as [rows, width] with zeros behind its rows and at their ends, in groups that go on as the last does. */
export function paddedInt4(source: Int4Source | undefined, shape: Shape): Int4Source | undefined {
  if (!source || shape.join() === source.shape.join()) return source;
  const { name, dtype, format } = source;
  const [rows, from, to] = [rowsOf(source), widthOf(source), widthOf({ shape })];
  const behind = zeroInt4(name, [sizeOf(shape) / to, to], format);
  const readInt4 = async (start: number, end: number): Promise<Int4Rows> => {
    const out = await behind.readInt4(start, end);
    const stop = Math.min(end, rows);
    if (start >= stop) return out;
    const held = await source.readInt4(start, stop);
    const [before, after] = [groupsOf(from, format), groupsOf(to, format)];
    for (let row = 0; row < stop - start; row++) {
      const zero = held.zeros ? held.zeros[(row + 1) * before - 1] : middle;
      const quants = held.quants.subarray(row * Math.ceil(from / 2), (row + 1) * Math.ceil(from / 2));
      const at = row * Math.ceil(to / 2);
      out.quants.fill(zero * 17, at, at + Math.ceil(to / 2));
      out.quants.set(quants, at);
      if (from % 2) out.quants[at + quants.length - 1] = (quants.at(-1)! & 15) | (zero << 4);
      for (let group = 0; group < after; group++) {
        const own = row * before + Math.min(group, before - 1);
        out.scales[row * after + group] = held.scales[own];
        if (held.zeros) out.zeros![row * after + group] = held.zeros[own];
      }
    }
    return out;
  };
  return { name, shape, dtype, format, readInt4 };
}
