import ndarray from 'ndarray';
import type { Operand, PackedWeight } from '../backend.js';
import { sizeOf, type Storage } from '../tensor.js';
import type { ArrayStorage } from './arrayStorage.js';

export type Floats = ndarray.NdArray<Float32Array>;

const arrayOf = (storage: Storage): Float32Array => (storage as ArrayStorage).values;

/** A tensor's elements, flat. */
export const flat = ({ storage, offset, shape }: Operand): Float32Array =>
  arrayOf(storage).subarray(offset, offset + sizeOf(shape));

/** A tensor or weight as a strided view; with `shape`, seen under another shape. */
export const view = (t: Operand | PackedWeight, shape: readonly number[] = t.shape): Floats =>
  ndarray(arrayOf(t.storage), [...shape], undefined, 'offset' in t ? t.offset : 0);
