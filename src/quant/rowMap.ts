import { decodeFloats, type WeightSource } from '../engine/index.js';

/** Changes rows [rows, width] in place; `firstRow` counts over the source. */
export type RowMap = (values: Float32Array, firstRow: number, width: number) => void;

/** A source whose rows pass through maps as they are read, one after the other; in float32. */
export function mapRows(source: WeightSource, ...maps: readonly RowMap[]): WeightSource {
  const { name, shape } = source;
  const width = shape[shape.length - 1];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const values = decodeFloats(await source.readRows(start, end), source.dtype);
    for (const map of maps) map(values, start, width);
    return new Uint8Array(values.buffer);
  };
  return { name, shape, dtype: 'float32', readRows };
}

/** Multiplies every row by `factors`, element by element: makes up for inputs that are divided by them. */
export const scaleColumns =
  (factors: ArrayLike<number>): RowMap =>
  (values, _, width) => {
    for (let at = 0; at < values.length; at += width)
      for (let column = 0; column < width; column++) values[at + column] *= factors[column];
  };

/** Divides each row by its divisor, and so the output that the row computes. */
export const divideRows =
  (divisors: ArrayLike<number>): RowMap =>
  (values, firstRow, width) => {
    for (let i = 0; i < values.length; i++) values[i] /= divisors[firstRow + Math.floor(i / width)];
  };

/** The change that maps make: the new rows less the old ones. */
export const change =
  (...maps: readonly RowMap[]): RowMap =>
  (values, firstRow, width) => {
    const before = values.slice();
    for (const map of maps) map(values, firstRow, width);
    for (let i = 0; i < values.length; i++) values[i] -= before[i];
  };

/** All of a source as numbers, [rows * width]. */
export async function readAll(source: WeightSource): Promise<Float32Array> {
  const rows = source.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return decodeFloats(await source.readRows(0, rows), source.dtype);
}
