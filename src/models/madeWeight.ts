import { decodeFloats, type WeightSource } from '../engine/index.js';
import type { MadeOf, WeightSpec } from './weights.js';

/** A weight as the model computes with it, made in float32 of what a checkpoint stores: see `MadeOf`. */
export const madeSource = (stored: WeightSource, { made }: Pick<WeightSpec, 'made'>): WeightSource =>
  made ? changedRows(stored, makers[made]) : stored;

/** The other way round: what a Hugging Face checkpoint stores of what is computed with, as GGUF files hold it. */
export const storedSource = (source: WeightSource, { made }: Pick<WeightSpec, 'made'>): WeightSource =>
  made === 'onePlus' ? changedRows(source, (row) => row.forEach((value, i) => (row[i] = value - 1))) : source;

/** A source whose rows are changed in place as they are read, in float32. */
function changedRows(source: WeightSource, change: (row: Float32Array) => void): WeightSource {
  const { name, shape } = source;
  const width = shape[shape.length - 1];
  const readRows = async (start: number, end: number): Promise<Uint8Array> => {
    const values = decodeFloats(await source.readRows(start, end), source.dtype).slice();
    for (let at = 0; at < values.length; at += width) change(values.subarray(at, at + width));
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
