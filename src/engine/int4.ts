import type { Shape } from './errors.js';

/**
 * Integers of 4 bits in groups along a row, each group with a scale: `w = scale * (q - zero)`, q from 0 to 15. The last
 * group of a row may be shorter.
 */
export interface Int4Format {
  /** Weights that share a scale. */
  readonly groupSize: 32 | 64 | 128;
  /** Without zero points every group's zero is 8. */
  readonly zeroPoints: boolean;
}

/** Rows of an int4 weight. */
export interface Int4Rows {
  /** [rows, ceil(in / 2)]: two integers a byte, the even column in the low half. */
  readonly quants: Uint8Array;
  /** [rows, ceil(in / groupSize)] as float16 bits. May be negative. */
  readonly scales: Uint16Array;
  /** [rows, ceil(in / groupSize)], 0 to 15; absent without zero points. */
  readonly zeros?: Uint8Array;
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
