import { NotFiniteError, UserError, type Shape } from './errors.js';
import { float16ToFloat32 } from './halfFloat.js';
import type { WeightSource } from './weight.js';

/**
 * Integers of 8 bits in groups along a row, each group with a scale: `w = scale * q`, q from -128 to 127. The last group of
 * a row may be shorter.
 */
export interface Int8Format {
  /** Weights that share a scale. */
  readonly groupSize: 16 | 32;
}

/** Rows of an int8 weight. */
export interface Int8Rows {
  /** [rows, in] */
  readonly quants: Int8Array;
  /** [rows, ceil(in / groupSize)] as float16 bits. May be negative. */
  readonly scales: Uint16Array;
}

/** The source of a weight of such integers: a file that holds it so, or a quantizer around another source. */
export interface Int8Source {
  readonly name: string;
  /** [out, in], or [experts, out, in]; rows count as in `WeightSource`. */
  readonly shape: Shape;
  readonly dtype: 'int8';
  readonly format: Int8Format;
  /** Rows [start, end); the arrays are the caller's until the next call. */
  readInt8(start: number, end: number): Promise<Int8Rows>;
}

/** Rows [start, end) of a source, their sizes and scales checked: a quantizer or a file may be wrong. */
export async function readInt8Rows(source: Int8Source, start: number, end: number): Promise<Int8Rows> {
  const width = source.shape.at(-1)!;
  const rows = await source.readInt8(start, end);
  const sizes = [
    ['quants', rows.quants.length, width],
    ['scales', rows.scales.length, Math.ceil(width / source.format.groupSize)],
  ] as const;
  for (const [what, length, perRow] of sizes)
    if (length !== (end - start) * perRow)
      throw new UserError(
        `${source.name}: ${end - start} rows of ${width} need ${(end - start) * perRow} ${what}, not ${length}`,
      );
  if (rows.scales.some((half) => (half & 0x7c00) === 0x7c00))
    throw new NotFiniteError(`${source.name}: a scale is not finite`, { tensor: source.name });
  return rows;
}

/** The weights `scale * q` of rows, row-major. Exact: a float16 times an integer of 8 bits. */
export function dequantizeInt8({ quants, scales }: Int8Rows, width: number, { groupSize }: Int8Format): Float32Array {
  const values = new Float32Array(quants.length);
  let at = 0;
  for (let group = 0; group < scales.length; group++) {
    const scale = float16ToFloat32(scales[group]);
    const end = Math.min(at + groupSize, at - (at % width) + width);
    for (; at < end; at++) values[at] = scale * quants[at];
  }
  return values;
}

/** The same weight as float32, for backends without int8 kernels. */
export function dequantizedInt8(source: Int8Source): WeightSource {
  const { name, shape, format } = source;
  const readRows = async (start: number, end: number): Promise<Uint8Array> =>
    new Uint8Array(dequantizeInt8(await readInt8Rows(source, start, end), shape.at(-1)!, format).buffer);
  return { name, shape, dtype: 'float32', readRows };
}
