import {
  bytesPerElement,
  decodeFloats,
  encodeFinite,
  encodeFloats,
  sizeOf,
  type Shape,
  type WeightDType,
  type WeightSource,
} from '../engine/index.js';

/** Sources made of other sources, row by row: nothing is read before it is asked for. */

/** Rows of a source, and elements a row; a vector is one row. */
export const rowsOf = ({ shape }: Pick<WeightSource, 'shape'>): number => sizeOf(shape.slice(0, -1));
export const widthOf = ({ shape }: Pick<WeightSource, 'shape'>): number => shape[shape.length - 1];

/** One value everywhere. */
export function constantSource(
  name: string,
  shape: Shape,
  value: number,
  dtype: WeightDType = 'float32',
): WeightSource {
  const width = widthOf({ shape });
  const one = encodeFloats(Float32Array.of(value), dtype);
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array((end - start) * width * one.byteLength);
    if (value !== 0) for (let at = 0; at < bytes.byteLength; at += one.byteLength) bytes.set(one, at);
    return bytes;
  };
  return { name, shape, dtype, readRows };
}

/** The same values in another element type, which must reach so far. */
export function castSource(source: WeightSource, dtype: WeightDType): WeightSource {
  if (source.dtype === dtype) return source;
  const readRows = async (start: number, end: number): Promise<Uint8Array> =>
    encodeFinite(decodeFloats(await source.readRows(start, end), source.dtype), dtype, source.name);
  return { ...source, dtype, readRows };
}

/** Pairs of a rotary head lie d / 2 apart in Hugging Face's order (`halves`) and beside each other in llama.cpp's (`pairs`). */
export type RotaryOrder = 'halves' | 'pairs';

/**
 * The row of a head of `size` rows, in the other order, that comes to be row `row` in the order `to`
 * (docs/formats.md, 'GGUF rotary order').
 */
export function rotaryRow(row: number, size: number, to: RotaryOrder): number {
  const half = size / 2;
  return to === 'pairs' ? (row % 2) * half + Math.floor(row / 2) : (row % half) * 2 + Math.floor(row / half);
}

/** Rows of a projection [heads * headDim, in], or elements of its bias, with each head's put in the order `to`. */
export function rotaryOrdered(source: WeightSource, headDim: number, to: RotaryOrder): WeightSource {
  if (source.shape.length === 1) return rotaryOrderedBias(source, headDim, to);
  const rowBytes = widthOf(source) * bytesPerElement[source.dtype];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const out = new Uint8Array((end - start) * rowBytes);
    for (let head = Math.floor(start / headDim); head * headDim < end; head++) {
      const first = head * headDim;
      const rows = await source.readRows(first, first + headDim);
      for (let row = Math.max(start, first); row < Math.min(end, first + headDim); row++) {
        const from = rotaryRow(row - first, headDim, to) * rowBytes;
        out.set(rows.subarray(from, from + rowBytes), (row - start) * rowBytes);
      }
    }
    return out;
  };
  return { ...source, readRows };
}

function rotaryOrderedBias(source: WeightSource, headDim: number, to: RotaryOrder): WeightSource {
  const size = bytesPerElement[source.dtype];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const values = await source.readRows(start, end);
    const out = new Uint8Array(values.byteLength);
    for (let i = 0; i < values.byteLength / size; i++) {
      const from = i - (i % headDim) + rotaryRow(i % headDim, headDim, to);
      out.set(values.subarray(from * size, (from + 1) * size), i * size);
    }
    return out;
  };
  return { ...source, readRows };
}

/** [out, in] as [rows, width] with zeros behind its rows and at their ends; a vector grows to `width`. */
export function paddedSource(source: WeightSource, shape: Shape): WeightSource {
  if (shape.join() === source.shape.join()) return source;
  const size = bytesPerElement[source.dtype];
  const [rows, from, to] = [rowsOf(source), widthOf(source) * size, widthOf({ shape }) * size];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const out = new Uint8Array((end - start) * to);
    const stop = Math.min(end, rows);
    if (start >= stop) return out;
    const held = await source.readRows(start, stop);
    for (let row = 0; row < stop - start; row++) out.set(held.subarray(row * from, (row + 1) * from), row * to);
    return out;
  };
  return { ...source, shape, readRows };
}

/** All values of a small source. */
export async function readValues(source: WeightSource): Promise<Float32Array> {
  return decodeFloats(await source.readRows(0, rowsOf(source)), source.dtype);
}
