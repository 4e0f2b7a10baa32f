import { NotFiniteError, UserError, type Shape } from './errors.js';
import { float16ToFloat32 } from './halfFloat.js';
import type { WeightSource } from './weight.js';

/**
 * Integers of 4 bits in groups along a row, each group with a scale: `w = scale * (q - zero)`, q from 0 to 15, or with
 * minima `w = scale * q + minimum`. The last group of a row may be shorter.
 */
export interface Int4Format {
  /** Weights that share a scale. */
  readonly groupSize: 32 | 64 | 128;
  /** Without zero points every group's zero is 8. */
  readonly zeroPoints: boolean;
  /** Each group has a minimum of its own, a float, and no zero point. @defaultValue false */
  readonly minima?: boolean;
}

/** Rows of an int4 weight. */
export interface Int4Rows {
  /** [rows, ceil(in / 2)]: two integers a byte, the even column in the low half. */
  readonly quants: Uint8Array;
  /** [rows, ceil(in / groupSize)] as float16 bits. May be negative. */
  readonly scales: Uint16Array;
  /** [rows, ceil(in / groupSize)], 0 to 15; absent without zero points. */
  readonly zeros?: Uint8Array;
  /** [rows, ceil(in / groupSize)] as float16 bits; absent without minima. */
  readonly minima?: Uint16Array;
}

/** A quantized weight's source: a file in an int4 format, or a quantizer around another source. */
export interface Int4Source {
  readonly name: string;
  /** [out, in], or [experts, out, in]; rows count as in `WeightSource`. */
  readonly shape: Shape;
  readonly dtype: 'int4';
  readonly format: Int4Format;
  /** Rows [start, end); the arrays are the caller's until the next call. */
  readInt4(start: number, end: number): Promise<Int4Rows>;
}

/** Groups of a row of `width` weights. */
export const groupsOf = (width: number, { groupSize }: Int4Format): number => Math.ceil(width / groupSize);

export const isInt4 = (source: WeightSource | Int4Source): source is Int4Source => source.dtype === 'int4';

/** Zero of a group without zero points. */
export const middle = 8;

/** Rows [start, end) of a source, their sizes and scales checked: a quantizer or a file may be wrong. */
export async function readInt4Rows(source: Int4Source, start: number, end: number): Promise<Int4Rows> {
  const width = source.shape.at(-1)!;
  const groups = groupsOf(width, source.format);
  const rows = await source.readInt4(start, end);
  const sizes = [
    ['quants', rows.quants.length, Math.ceil(width / 2)],
    ['scales', rows.scales.length, groups],
    ['zeros', rows.zeros?.length ?? 0, source.format.zeroPoints ? groups : 0],
    ['minima', rows.minima?.length ?? 0, source.format.minima ? groups : 0],
  ] as const;
  for (const [what, length, perRow] of sizes)
    if (length !== (end - start) * perRow)
      throw new UserError(
        `${source.name}: ${end - start} rows of ${width} need ${(end - start) * perRow} ${what}, not ${length}`,
      );
  for (const [what, halves] of [['scale', rows.scales] as const, ['minimum', rows.minima] as const])
    if (halves?.some((half) => (half & 0x7c00) === 0x7c00))
      throw new NotFiniteError(`${source.name}: a ${what} is not finite`, { tensor: source.name });
  if (rows.zeros?.some((zero) => zero > 15)) throw new UserError(`${source.name}: a zero point is not within 0 to 15`);
  return rows;
}

/**
 * The weights `scale * (q - zero)` of rows, row-major. Exact: a float16 times an integer of 5 bits. With minima, `scale * q`
 * is exact, and rounded once when the minimum is added.
 */
export function dequantizeRows(
  { quants, scales, zeros, minima }: Int4Rows,
  width: number,
  { groupSize }: Int4Format,
): Float32Array {
  const rowBytes = Math.ceil(width / 2);
  const groups = Math.ceil(width / groupSize);
  const rows = quants.length / rowBytes;
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++)
    for (let group = 0; group < groups; group++) {
      const scale = float16ToFloat32(scales[row * groups + group]);
      const zero = minima ? 0 : zeros ? zeros[row * groups + group] : middle;
      const minimum = minima ? float16ToFloat32(minima[row * groups + group]) : 0;
      for (let i = group * groupSize; i < Math.min(width, (group + 1) * groupSize); i++) {
        const byte = quants[row * rowBytes + (i >> 1)];
        const w = scale * ((i % 2 === 0 ? byte & 15 : byte >> 4) - zero);
        // Without minima a zero keeps its sign.
        values[row * width + i] = minima ? w + minimum : w;
      }
    }
  return values;
}

/** The same weight as float32, for backends without int4 kernels. */
export function dequantized(source: Int4Source): WeightSource {
  const width = source.shape.at(-1)!;
  return {
    name: source.name,
    shape: source.shape,
    dtype: 'float32',
    readRows: async (start, end) =>
      new Uint8Array(dequantizeRows(await readInt4Rows(source, start, end), width, source.format).buffer),
  };
}
