import { decodeFloats, type WeightSource } from '../engine/index.js';
import type { MadeOf, WeightSpec } from './weights.js';

/** A weight as the model computes with it, made in float32 of what a checkpoint stores: see `MadeOf`. */
export function madeSource(stored: WeightSource, { made }: Pick<WeightSpec, 'made'>): WeightSource {
  if (!made) return stored;
  const { name, shape } = stored;
  const width = shape[shape.length - 1];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const values = decodeFloats(await stored.readRows(start, end), stored.dtype).slice();
    for (let at = 0; at < values.length; at += width) makers[made](values.subarray(at, at + width));
    return new Uint8Array(values.buffer);
  };
  return { name, shape, dtype: 'float32', readRows };
}

/** Each changes a row in place. */
const makers: Readonly<Record<MadeOf, (row: Float32Array) => void>> = {
  onePlus: (row) => row.forEach((value, i) => (row[i] = 1 + value)),
  unitRows: (row) => {
    const length = Math.max(Math.sqrt(row.reduce((sum, value) => sum + value * value, 0)), 1e-12);
    row.forEach((value, i) => (row[i] = value / length));
  },
};

/** What a checkpoint stores of what is computed with: the other way round. */
export const storedValues = (values: Float32Array, { made }: Pick<WeightSpec, 'made'>): Float32Array =>
  made === 'onePlus' ? values.map((value) => value - 1) : values;
